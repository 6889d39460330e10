"""Check of the outputs of a network for NaN and infinities, with the cause and the way out in one line."""

import torch
from torch import Tensor, nn

from mmcm.utils.errors import first_of
from mmcm.utils.finite import FULL, NOT_FINITE, NotFiniteError, is_finite

NARROW = torch.float16  # the one dtype here with a small range: its numbers end at 65504


class OutputCheck:
    """Check that each output of a network is finite: one reduction per call, without synchronising the device.

    On the CPU, the first output that is not finite ends sampling. On other devices, `finish` checks all of them at
    the end, where the caller waits for the images anyway.

    Args:
        network (nn.Module): The network; the error says what is wrong with it.
        **given (Tensor): Inputs of sampling, by their names in messages.
    """

    def __init__(self, network: nn.Module, **given: Tensor | None) -> None:
        self.network = network
        self.given = {name: values for name, values in given.items() if values is not None}
        self.unread: list[Tensor] = []

    def note(self, output: Tensor) -> Tensor:
        """Check an `output` of any shape and return it; NotFiniteError if it is not finite and on the CPU."""
        # Traced and compiled tensors have no values, and the program has to be the same with and without a check.
        if not (torch.compiler.is_compiling() or output.is_meta) and output.numel():
            self.unread.append(torch.stack(output.detach().aminmax()))  # one pass, and NaN is both of its results
            if output.device.type == 'cpu':
                self.finish()
        return output

    def finish(self) -> None:
        """Raise a NotFiniteError if any output so far is not finite."""
        unread, self.unread = self.unread, []
        if unread and not torch.stack(unread).isfinite().all():
            raise NotFiniteError(self.explained(unread[0].device.type))

    def explained(self, device: str) -> str:
        """Describe the cause and the way out, for a network on a kind of `device`."""
        for name, values in self.given.items():
            if not is_finite(values):
                return f'{name} {NOT_FINITE}.'
        finding = 'the output of the network is not finite'
        weights = dict(self.network.named_parameters())
        narrow = any(value.dtype == NARROW for value in weights.values())
        broken = [name for name, value in weights.items() if not is_finite(value, infinities=value.dtype == NARROW)]
        if broken:
            return (
                f'{finding}, since {len(broken)} of its {len(weights)} weights are not: {first_of(broken)}. The '
                'training that made them has diverged, or the file is damaged: take an earlier checkpoint.'
            )
        if narrow or autocast_dtype(device) == NARROW:
            return (
                f'{finding} in float16, whose numbers end at {torch.finfo(NARROW).max:.0f}: compute in another '
                f'precision, {FULL}.'
            )
        return (
            f'{finding}, though its weights are: they are too large, as those of a training that has diverged, or '
            'they do not belong to this config. Take an earlier checkpoint, or the config that they were trained '
            'with.'
        )


def autocast_dtype(device: str) -> torch.dtype | None:
    """Return the dtype of autocast on a kind of device; None outside autocast, and if torch does not report it."""
    try:
        return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    except (RuntimeError, TypeError):  # a device without autocast, or torch before 2.4
        return None
