"""Learning rate that falls with the square root of the step (Karras et al., 2024, arXiv 2312.02696, Eq. 67)."""

from typing import Any

from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler

from mmcm.registry import PARAM_SCHEDULERS
from mmcm.utils.errors import InputError


def inverse_sqrt_factor(step: float, reference: float, rampup: float = 0) -> float:
    """Return min(step / rampup, 1) / sqrt(max(step / reference, 1)).

    Args:
        step (float): Training step, counted from 0.
        reference (float): Steps until the factor falls; with 0, it never does.
        rampup (float): Steps in which the factor rises from 0; with 0, it does not have to.
    """
    factor = 1.0
    if reference > 0:
        factor /= max(step / reference, 1.0) ** 0.5
    if rampup > 0:
        factor *= min(step / rampup, 1.0)
    return factor


@PARAM_SCHEDULERS.register_module()
class InverseSqrtLR(LRSchedulerMixin, _ParamScheduler):
    """Learning rate lr min(step / rampup, 1) / sqrt(max(step / reference, 1)), that of EDM2 and of ECT on ImageNet.

    It is a function of the step alone, and so replaces what other schedulers make of the learning rate.

    Args:
        optimizer (Optimizer | OptimWrapper): Whose learning rate is scheduled.
        reference (float): Steps until the learning rate falls, at least 0; with 0, it never does.
        rampup (float): Steps in which the learning rate rises from 0, at least 0; with 0, it begins in full.
        **kwargs: `begin`, `end`, `by_epoch`, `last_step` and `verbose` of MMEngine's schedulers. With `by_epoch`, their
            default, all steps here are epochs; by_epoch=False makes them training steps.

    Raises:
        InputError: If `reference` or `rampup` is negative or not finite.
    """

    def __init__(self, optimizer: Any, reference: float, rampup: float = 0, **kwargs) -> None:
        for name, steps in (('reference', reference), ('rampup', rampup)):
            if not 0 <= steps < INF:
                raise InputError(f'{name} is a number of steps, at least 0 and finite, got {steps}.')
        self.reference = reference
        self.rampup = rampup
        super().__init__(optimizer, **kwargs)

    @classmethod
    def build_iter_from_epoch(
        cls,
        optimizer: Any,
        reference: float,
        rampup: float = 0,
        begin: int = 0,
        end: int = INF,
        by_epoch: bool = True,
        epoch_length: int | None = None,
        **kwargs,
    ) -> 'InverseSqrtLR':
        """Build a scheduler of training steps from the settings of one of epochs, each of `epoch_length` steps."""
        if not by_epoch or not epoch_length or epoch_length < 1:
            raise InputError(
                'a schedule of training steps is made of one of epochs (by_epoch=True) with a positive epoch_length, '
                f'got by_epoch={by_epoch} and epoch_length={epoch_length}.'
            )
        return cls(
            optimizer,
            reference=reference * epoch_length,
            rampup=rampup * epoch_length,
            begin=int(begin * epoch_length),
            end=end if end == INF else int(end * epoch_length),
            by_epoch=False,
            **kwargs,
        )

    def _get_value(self) -> list[float]:
        factor = inverse_sqrt_factor(self.last_step, self.reference, self.rampup)
        return [value * factor for value in self.base_values]
