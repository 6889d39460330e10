"""Decays of the averages that a model keeps: constant, of a power function, or by a half-life in images."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mmcm.checkpoints.formats.training_checkpoint import average_name
from mmcm.curricula.base import check_decay
from mmcm.utils.errors import InputError

EXAMPLES = '0.9999, dict(sigma_rel=0.05) or dict(half_life=500_000)'
# sigma_rel falls from 1/sqrt(12) at gamma = 0, where the average is the plain mean of all steps.
LARGEST_SIGMA_REL = 12**-0.5


class EMADecay(ABC):
    """The decay of an average, as a function of the training step, counted from 0.

    Attributes:
        needs (tuple[str, ...]): Which arguments of `at` the decay depends on.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def at(self, step: int, images_per_step: int) -> float:
        """Return the decay in a training step."""


@dataclass(frozen=True)
class ConstantDecay(EMADecay):
    """The same decay in each step."""

    decay: float

    def at(self, step: int, images_per_step: int) -> float:
        """Return the decay."""
        return self.decay


@dataclass(frozen=True)
class PowerFunctionDecay(EMADecay):
    """Weights that grow with the gamma-th power of the training time (Karras et al. 2023, arXiv 2312.02696, Eq. 4).

    `sigma_rel` is the standard deviation of the profile relative to the length of the training. Two such averages
    suffice to compute any other afterwards; see `mmcm.models.post_hoc_ema`.
    """

    sigma_rel: float
    needs: ClassVar = ('step',)

    def at(self, step: int, images_per_step: int) -> float:
        """Return beta(t) = (1 - 1/t)^(gamma + 1) for t = step + 1: the average starts as the first weights."""
        return (1 - 1 / (step + 1)) ** (exponent_of(self.sigma_rel) + 1)


@dataclass(frozen=True)
class HalfLifeDecay(EMADecay):
    """A decay that halves the weight of a step within `half_life` images, whatever the batch size is.

    With `ramp_up`, the half-life is at most that share of the images seen (EDM trains CIFAR-10 with 0.05).
    """

    half_life: float
    ramp_up: float | None = None
    needs: ClassVar = ('step', 'images_per_step')

    def at(self, step: int, images_per_step: int) -> float:
        """Return 2^(-images per step / half-life)."""
        half_life = self.half_life
        if self.ramp_up is not None:
            half_life = min(half_life, self.ramp_up * (step + 1) * images_per_step)
        return 0.5 ** (images_per_step / half_life)


def exponent_of(sigma_rel: float) -> float:
    """Return the exponent gamma of the power function whose profile has the deviation `sigma_rel`.

    It is the positive root of sigma_rel = sqrt(gamma + 1) / ((gamma + 2) sqrt(gamma + 3)) (Karras et al., App. C).
    """
    variance = 1 / sigma_rel**2
    # Newton's method from above: the cubic is convex there, so no step overshoots.
    gamma = math.sqrt(variance)
    for _ in range(100):
        value = ((gamma + 7) * gamma + 16 - variance) * gamma + 12 - variance
        step = value / ((3 * gamma + 14) * gamma + 16 - variance)
        gamma -= step
        if abs(step) <= 1e-14 * (1 + gamma):
            break
    return max(gamma, 0.0)


def check_sigma_rel(name: str, value: Any) -> float:
    """Return `value` as a float; an InputError unless some power function has that deviation."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value < LARGEST_SIGMA_REL:
        raise InputError(f'{name} has to be greater than 0 and less than {LARGEST_SIGMA_REL:.4g}, got {value!r}.')
    return float(value)


def check_decays(decays: Sequence[Any]) -> tuple[Any, ...]:
    """Return `decays` as a tuple; an InputError unless they are different decays, see `decay_of`."""
    if not isinstance(decays, (list, tuple)):
        raise InputError(f'ema_decays has to be a list of different decays, such as {EXAMPLES}, got {decays!r}.')
    for decay in decays:
        decay_of(decay)
    if len(set(map(average_name, decays))) < len(decays):
        raise InputError(f'ema_decays has to be a list of different decays, got {decays!r}.')
    return tuple(decays)


def decay_of(config: float | Mapping[str, Any]) -> EMADecay:
    """Return the decay that a value of `ema_decays` means.

    Args:
        config (float | Mapping): A constant decay in [0, 1]; `sigma_rel` of a power function; or `half_life` in images,
            with or without `ramp_up`.

    Raises:
        InputError: If it is none of these.
    """
    if not isinstance(config, Mapping):
        check_decay(config)
        return ConstantDecay(float(config))
    if set(config) == {'sigma_rel'}:
        return PowerFunctionDecay(check_sigma_rel('sigma_rel', config['sigma_rel']))
    if {'half_life'} <= set(config) <= {'half_life', 'ramp_up'}:
        for name, value in config.items():
            optional = name == 'ramp_up' and value is None
            if not optional and (
                isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf
            ):
                raise InputError(f'{name} of an average has to be a positive number, got {value!r}.')
        return HalfLifeDecay(**config)
    raise InputError(f'a decay of ema_decays has to be such as {EXAMPLES}, got {config!r}.')


def check_restarts(decays: Sequence[EMADecay]) -> None:
    """Raise an InputError for averages that depend on the training's start, where each stage starts them anew."""
    for decay in decays:
        if 'step' in decay.needs:
            raise InputError(
                f'{decay} is a function of the time since the training began, but progressive distillation starts its '
                'averages anew in each stage: give constant decays.'
            )
