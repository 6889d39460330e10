"""Settings of guidance: how far estimates are guided, and at which noise levels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from mmcm.utils.checks import check_number
from mmcm.utils.errors import InputError

SETTINGS = ('scale', 'interval')
SECOND_NETWORK = ('checkpoint', 'average', 'denoiser')  # of a config, for autoguidance


@dataclass(frozen=True)
class Guidance:
    """How far estimates are guided, and at which noise levels.

    Attributes:
        scale (float): w, 0 or more: 0 is the estimate for no given class, 1 no guidance at all.
        interval (tuple[float, float], optional): Guide only at levels in (sigma_lo, sigma_hi]; w is 1 elsewhere
            (Kynkaanniemi et al., 2024, arXiv 2404.07724, Eq. 5). None guides at all levels.
    """

    scale: float = 1.0
    interval: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        check_number('guidance', self.scale)
        if not 0 <= self.scale < math.inf:
            raise InputError(f'guidance has to be a number from 0 on, 1 being no guidance, got {self.scale}.')
        if self.interval is not None:
            object.__setattr__(self, 'interval', check_interval(self.interval))

    @classmethod
    def of(cls, config: Mapping[str, Any] | None) -> 'Guidance':
        """Return the guidance of a config, dict(scale=1.5, interval=(0.2, 1.6)); none for None.

        Raises:
            InputError: If it is no such dict, or a value is out of its range.
        """
        if config is None:
            return cls()
        if not isinstance(config, Mapping) or 'scale' not in config or set(config) - {*SETTINGS, *SECOND_NETWORK}:
            raise InputError(
                'model.guidance has to be a dict of scale and, if it is only for some noise levels, interval, such as '
                f'dict(scale=1.5, interval=(0.2, 1.6)), and for autoguidance {", ".join(SECOND_NETWORK)} of the second '
                f'network, got {config!r}.'
            )
        if not config.get('checkpoint') and set(config) & set(SECOND_NETWORK):
            raise InputError(
                f'model.guidance describes a second network without weights: give its checkpoint, got {config!r}.'
            )
        return cls(**{key: value for key, value in config.items() if key in SETTINGS})

    @property
    def acts(self) -> bool:
        """Whether the estimate differs from the network's own at any level."""
        return self.scale != 1

    def acts_at(self, sigma: float) -> bool:
        """Return whether the estimate differs from the network's own at the level `sigma`, of float32."""
        return self.acts and bool(self.guided(torch.tensor([sigma], dtype=torch.float32, device='cpu')).any())

    def guided(self, sigma: Tensor) -> Tensor:
        """Return which of the levels (N,) lie in the interval, (N,), bool; compared in the dtype of `sigma`."""
        low, high = self.interval or (-math.inf, math.inf)
        return (sigma > low) & (sigma <= high)

    def changed(self, scale: float | None, interval: Sequence[float] | None) -> 'Guidance':
        """Return the guidance with what is not None changed; an InputError for an interval without guidance in it."""
        if scale is None and interval is not None and not self.acts:
            raise InputError(
                f'guidance_interval={interval!r} is where guidance acts, and there is none: give guidance, too, such '
                'as guidance=1.5.'
            )
        chosen = self.interval if interval is None else interval
        return Guidance(self.scale if scale is None else scale, chosen)  # type: ignore[arg-type]

    def config(self) -> dict[str, Any]:
        """Return the config that `of` takes."""
        return asdict(self)


NO_GUIDANCE = Guidance()


def check_interval(interval: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an interval of noise levels; an InputError unless 0 <= sigma_lo < sigma_hi."""
    values = tuple(interval) if isinstance(interval, (list, tuple)) else ()
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    if len(values) != 2 or not numbers or not 0 <= values[0] < values[1]:
        raise InputError(
            'guidance_interval has to be two noise levels, the smaller one first and 0 or more, such as (0.2, 1.6), '
            f'got {interval!r}.'
        )
    return float(values[0]), float(values[1])
