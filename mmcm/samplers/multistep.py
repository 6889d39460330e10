"""Multistep sampler of consistency models."""

import math
from collections.abc import Sequence

from torch import Tensor

from mmcm.noise.schedules import LARGEST_SIGMA, RHO, SIGMA_MAX, SIGMA_MIN, check_range, karras_sigmas
from mmcm.registry import SAMPLERS
from mmcm.samplers.base import Callback, Denoise, RandnLike, Sampler, as_tuple
from mmcm.utils.errors import InputError


@SAMPLERS.register_module()
class MultistepSampler(Sampler):
    """Song et al. (2023, Algorithm 1): denoise, add noise of the next level, denoise again.

    One level is one-step sampling. `sigmas` gives the levels themselves, `indices` their places among the `num_scales`
    levels of the schedule that the model was trained with; index 0 is sigma_max.

    Args:
        sigmas (Sequence[float] | float, optional): Noise levels, from sigma_max downwards, all above `sigma_min`.
        indices (Sequence[int] | int, optional): Indices of the levels, ascending from 0, at most `num_scales` - 2.
        num_scales (int, optional): Number of levels of the schedule; needed with `indices` other than (0,).
        sigma_min (float): Level at which no noise is left, in the units of the data.
        sigma_max (float): First level of the schedule.
        rho (float): How strongly the levels of the schedule crowd near `sigma_min`.
        sigma_end (float, optional): Noise level that is added to the result again; None adds no noise.
    """

    def __init__(
        self,
        sigmas: Sequence[float] | float | None = None,
        indices: Sequence[int] | int | None = None,
        num_scales: int | None = None,
        sigma_min: float = SIGMA_MIN,
        sigma_max: float = SIGMA_MAX,
        rho: float = RHO,
        sigma_end: float | None = None,
    ) -> None:
        if sigma_min != 0:  # nothing is divided by it here
            check_range(sigma_min, sigma_max, rho)
        if (sigmas is None) == (indices is None):
            raise InputError(
                f'give either sigmas or indices, got sigmas {sigmas} and indices {indices}. '
                'For one-step sampling, indices=(0,).'
            )
        if indices is not None:
            sigmas = self._levels(as_tuple(indices), num_scales, sigma_min, sigma_max, rho)
        levels = [float(sigma) for sigma in as_tuple(sigmas)]
        if not (levels and all(a > b for a, b in zip(levels, [*levels[1:], sigma_min])) and levels[0] < LARGEST_SIGMA):
            raise InputError(
                f'sigmas must strictly decrease and stay above sigma_min {sigma_min}, got {levels}. '
                'Order them from sigma_max downwards, for example (80.0, 1.5).'
            )
        if sigma_end is not None and not sigma_min <= sigma_end < LARGEST_SIGMA:
            raise InputError(f'sigma_end has to be a number from sigma_min {sigma_min} on, got {sigma_end}.')
        self.sigmas = levels
        self.sigma_min = sigma_min
        self.sigma_end = sigma_end

    @staticmethod
    def _levels(
        indices: tuple[int, ...], num_scales: int | None, sigma_min: float, sigma_max: float, rho: float
    ) -> list[float]:
        if not all(isinstance(index, int) for index in indices):
            raise InputError(f'indices have to be integers, got {indices}.')
        if num_scales is None and indices == (0,):
            return [sigma_max]  # whatever the schedule, it begins here
        if not isinstance(num_scales, int) or num_scales < 2:
            raise InputError(
                f'indices {indices} need num_scales, the number of levels that the model was '
                f'trained with (2 or more), got {num_scales}.'
            )
        if not indices or min(indices) < 0 or max(indices) > num_scales - 2:
            raise InputError(
                f'indices have to lie in [0, {num_scales - 2}] for {num_scales} levels, got '
                f'{indices}. The last level, {num_scales - 1}, has no noise: leave it out.'
            )
        schedule = karras_sigmas(num_scales, sigma_min, sigma_max, rho).tolist()
        return [schedule[index] for index in indices]

    @property
    def num_steps(self) -> int:
        """Number of steps: one per noise level."""
        return len(self.sigmas)

    @property
    def nfe(self) -> int:
        """NFE: one call of the denoiser per noise level."""
        return len(self.sigmas)

    @property
    def first_sigma(self) -> float:
        """Noise level that the first step starts from."""
        return self.sigmas[0]

    def __call__(
        self, denoise: Denoise, noise: Tensor, randn_like: RandnLike, callback: Callback | None = None
    ) -> Tensor:
        """Sample images; see `Sampler`."""
        x = noise * self.sigmas[0]
        for step, (sigma, next_sigma) in enumerate(zip(self.sigmas, [*self.sigmas[1:], self.sigma_end])):
            x0 = denoise(x, x.new_full((x.shape[0],), sigma))
            if callback is not None:
                callback(step, sigma, x, x0)
            x = x0 if next_sigma is None else self.add_noise(x0, next_sigma, randn_like)
        return x

    def add_noise(self, x0: Tensor, sigma: float, randn_like: RandnLike) -> Tensor:
        """Return `x0` (N, C, H, W), which counts as an image at level sigma_min, at level `sigma`."""
        return x0 + randn_like(x0) * math.sqrt(sigma**2 - self.sigma_min**2)
