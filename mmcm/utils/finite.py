"""What is not finite is no picture: outputs of a network with NaN or infinities end in one line, with the way out."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmcm.utils.errors import InputError, first_of

NARROW = torch.float16  # the one dtype here whose numbers end early, at 65504
FULL = '--dtype bfloat16 or float32 (dtype= in Python)'
NOT_FINITE = 'have to be finite: there are NaN or infinite values among them'


class NotFiniteError(InputError):
    """What a network makes is NaN or infinite, so that it is no picture, and no score follows from it."""


class OutputCheck:
    """Looks at each output of a network: a reduction for each call, which no device waits for.

    On the CPU, the first output that is not finite ends the drawing. On other devices `finish` asks for all of them
    together, at the end, where the caller waits for the pictures anyhow.

    Args:
        network (nn.Module): Whose outputs these are; the error says what is wrong with it.
        **given (Tensor): What the drawing starts from, by its name in messages.
    """

    def __init__(self, network: nn.Module, **given: Tensor | None) -> None:
        self.network = network
        self.given = {name: values for name, values in given.items() if values is not None}
        self.unread: list[Tensor] = []

    def note(self, output: Tensor) -> Tensor:
        """Look at an `output` of any shape, and return it; NotFiniteError if it is not finite and on the CPU."""
        # What is traced or compiled has no values, and is to be the same program with and without a check.
        if not (torch.compiler.is_compiling() or output.is_meta) and output.numel():
            self.unread.append(torch.stack(output.detach().aminmax()))  # one pass, and NaN is both of its results
            if output.device.type == 'cpu':
                self.finish()
        return output

    def finish(self) -> None:
        """Raise a NotFiniteError if any output so far was not finite."""
        unread, self.unread = self.unread, []
        if unread and not torch.stack(unread).isfinite().all():
            raise NotFiniteError(self.explained(unread[0].device.type))

    def explained(self, device: str) -> str:
        """Return what is not finite and what to do, for a network on a kind of `device`."""
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
    """Return the dtype of autocast on a kind of device; None outside of it, and where torch does not say so."""
    try:
        return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    except (RuntimeError, TypeError):  # a device without autocast, or torch before 2.4
        return None


def is_finite(values: Tensor, infinities: bool = False) -> bool:
    """Return whether all of `values` are finite, or at least not NaN, in one pass without copies."""
    if not values.is_floating_point() or values.is_meta or not values.numel():
        return True
    low, high = values.detach().aminmax()  # both are NaN if one value is
    return not bool(low.isnan()) if infinities else bool(low.isfinite() & high.isfinite())


def check_images(images: Tensor) -> Tensor:
    """Return `images`, which are about to be shown; a NotFiniteError if they are NaN in part."""
    if images.isnan().any():
        raise NotFiniteError('the estimates of the network are not finite.')
    return images


def check_given(name: str, values: Tensor) -> None:
    """Raise an InputError if `values`, which a user gave and messages call `name`, are not finite."""
    if not is_finite(values):
        raise InputError(f'{name} {NOT_FINITE}.')


def in_dtype(weights: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Return `weights` as `dtype`.

    Raises:
        InputError: If some are too large for it. Those that were not finite before are the reader's to refuse.
    """
    cast = {name: value.to(dtype) for name, value in weights.items()}
    lost = [name for name, value in cast.items() if value.dtype != weights[name].dtype and not is_finite(value)]
    if lost:
        name = str(dtype).removeprefix('torch.')
        raise InputError(
            f'{len(lost)} of {len(cast)} weights are not finite in {name}, whose numbers end at '
            f'{torch.finfo(dtype).max:.3g}: {first_of(lost)}. Write another precision, {FULL}.'
        )
    return cast
