"""Contract of all samplers, and the loop over noise levels that the solvers of the probability flow ODE share."""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from mmcm.noise.schedules import LARGEST_SIGMA, RHO, SIGMA_MAX, SIGMA_MIN, check_range, karras_sigmas
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError

# (x (N, C, H, W), sigma (N,)) -> x0, a closure over the labels; of flow maps, also with next_sigma (N,) by name
Denoise = Callable[..., Tensor]
RandnLike = Callable[[Tensor], Tensor]  # standard normal noise like its argument
Callback = Callable[[int, float, Tensor, Tensor], None]  # (step, sigma, noisy x, denoised x0)


class Sampler(ABC):
    """Algorithm that turns noise into images by calls of a denoiser.

    Coefficients are Python floats, so that no step waits for the device; images keep the dtype of the noise.
    """

    needs_flow_map = False  # whether it calls the denoiser with the level that a step leads to, `next_sigma`
    follows_ode = False  # whether a call has to return what a diffusion model does, and not the end of the trajectory

    @property
    @abstractmethod
    def num_steps(self) -> int:
        """Number of steps, each with one call of the callback."""

    @property
    @abstractmethod
    def nfe(self) -> int:
        """NFE, the number of function evaluations: calls of the denoiser, that is of the network, for an image."""

    @property
    def num_calls(self) -> int:
        """`nfe`. Deprecated."""
        warnings.warn('num_calls of a sampler is nfe now.', DeprecationWarning, stacklevel=2)
        kinds = type(self).__mro__
        former = [kind for kind in kinds if 'num_calls' in vars(kind) and kind is not Sampler]
        if not former:
            return self.nfe
        # A class that was written before `nfe` asks for the number of the class above it.
        return super(former[-1], self).nfe  # type: ignore[arg-type]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if 'num_calls' in vars(cls) and 'nfe' not in vars(cls):  # a class that was written before `nfe`
            warnings.warn(f'num_calls of {cls.__name__} is to be called nfe now.', DeprecationWarning, stacklevel=2)
            cls.nfe = vars(cls)['num_calls']  # type: ignore[method-assign]

    @property
    @abstractmethod
    def first_sigma(self) -> float:
        """Noise level that the first step starts from."""

    @abstractmethod
    def __call__(
        self, denoise: Denoise, noise: Tensor, randn_like: RandnLike, callback: Callback | None = None
    ) -> Tensor:
        """Sample images.

        Args:
            denoise (Callable): Denoiser, from x (N, C, H, W) and sigma (N,) to x0 (N, C, H, W).
            noise (Tensor): Standard normal noise, (N, C, H, W); the sampler scales it.
            randn_like (Callable): Source of all further noise.
            callback (Callable, optional): Called in each step, after the denoiser, with the step from 0, the noise
                level, the noisy images that the denoiser received and the denoised images. It must not change them.

        Returns:
            Tensor: Images, (N, C, H, W).
        """


class KarrasSampler(Sampler):
    """Solver along the noise levels of Karras et al. (2022, Eq. 5), or along given ones, with a last step to zero.

    Args:
        num_steps (int, optional): Number of steps on the schedule, at least 1.
        sigma_min (float): Last level of the schedule above zero, in the units of the data.
        sigma_max (float): First level of the schedule.
        rho (float): How strongly the levels of the schedule crowd near `sigma_min`.
        sigmas (Sequence[float], optional): Noise levels in place of the schedule, strictly descending; a zero at the
            end is optional. Give either these or `num_steps`.
    """

    follows_ode = True
    ends_at_zero = True  # whether a step from the last level to zero follows
    sigmas: list[float] | None = None  # on the class: what samples are recorded with is vars(sampler)

    def __init__(
        self,
        num_steps: int | None = None,
        sigma_min: float = SIGMA_MIN,
        sigma_max: float = SIGMA_MAX,
        rho: float = RHO,
        sigmas: Sequence[float] | None = None,
    ) -> None:
        check_range(sigma_min, sigma_max, rho)
        if num_steps is not None and sigmas is None:
            check_count('num_steps', num_steps)
            self._num_steps = num_steps
        elif num_steps is None and sigmas is not None:
            self.sigmas = check_levels(sigmas, self.ends_at_zero)
            self._num_steps = len(self.sigmas) - 1
        else:
            raise InputError(f'give either num_steps or sigmas, got num_steps {num_steps} and sigmas {sigmas}.')
        self.sigma_min = sigma_min
        self.sigma_max = sigma_max
        self.rho = rho

    @property
    def num_steps(self) -> int:
        """Number of steps, each with one call of the callback."""
        return self._num_steps

    @property
    def nfe(self) -> int:
        """NFE: one call of the denoiser per step."""
        return self.num_steps

    @property
    def first_sigma(self) -> float:
        """Noise level that the first step starts from: sigma_max, or the first of `sigmas`."""
        return self.sigma_max if self.sigmas is None else self.sigmas[0]

    def __call__(
        self, denoise: Denoise, noise: Tensor, randn_like: RandnLike, callback: Callback | None = None
    ) -> Tensor:
        """Sample images; see `Sampler`."""
        x = noise * self.first_sigma
        # In single precision the released code computes the levels in it, too: the first is 79.99998. Here the rounding
        # of a difference of two large numbers depends on that, so we follow.
        sigmas = self.levels(torch.float64 if noise.dtype == torch.float64 else torch.float32)
        for step, (sigma, next_sigma) in enumerate(pairwise(sigmas)):
            sigma, x = self.churn(sigma, x, randn_like)
            x0 = denoise(x, x.new_full((x.shape[0],), sigma))
            if callback is not None:
                callback(step, sigma, x, x0)
            x = self.advance(denoise, x, x0, sigma, next_sigma, randn_like)
        return x

    def levels(self, dtype: torch.dtype) -> list[float]:
        """Return the level before the first step and after each, num_steps + 1 numbers, the schedule's in `dtype`."""
        if self.sigmas is not None:
            return self.sigmas
        num_scales = self.num_steps + (0 if self.ends_at_zero else 1)
        sigmas = karras_sigmas(num_scales, self.sigma_min, self.sigma_max, self.rho, dtype).tolist()
        return [*sigmas, 0.0] if self.ends_at_zero else sigmas

    def churn(self, sigma: float, x: Tensor, randn_like: RandnLike) -> tuple[float, Tensor]:
        """Return the level and the images that a step starts from; here unchanged."""
        return sigma, x

    @abstractmethod
    def advance(
        self, denoise: Denoise, x: Tensor, x0: Tensor, sigma: float, next_sigma: float, randn_like: RandnLike
    ) -> Tensor:
        """Return `x` (N, C, H, W), which denoises to `x0`, moved from level `sigma` to `next_sigma`."""


def check_levels(sigmas: Sequence[float], ends_at_zero: bool) -> list[float]:
    """Return the noise levels of a user, with a zero at the end if `ends_at_zero`.

    Raises:
        InputError: Unless they are numbers, strictly descend and are positive, but for a zero at the end.
    """
    levels = [float(sigma) for sigma in as_tuple(sigmas)]
    if ends_at_zero and levels[-1:] != [0.0]:
        levels.append(0.0)
    if len(levels) < 2 or levels[0] >= LARGEST_SIGMA or not all(a > b >= 0 for a, b in pairwise(levels)):
        raise InputError(
            f'sigmas must be positive and strictly decrease, got {list(as_tuple(sigmas))}. Order them downwards, for '
            'example (80.0, 9.0, 1.0, 0.1).'
        )
    return levels


def as_tuple(levels: Any) -> tuple:
    """Return one number, or a sequence of numbers, as a tuple."""
    if isinstance(levels, (int, float)):
        return (levels,)
    if isinstance(levels, str) or not all(isinstance(level, (int, float)) for level in levels):
        raise InputError(f'levels have to be numbers, such as (80.0, 1.5) or (0, 22), got {levels!r}.')
    return tuple(levels)


class ChurnSampler(KarrasSampler):
    """A second-order sampler that may raise the noise level before each step (Karras et al., 2022, Algorithm 2).

    Args:
        num_steps, sigma_min, sigma_max, rho, sigmas: See `KarrasSampler`.
        s_churn (float): How much noise is added over all steps; 0 makes the sampler deterministic.
        s_tmin (float): Smallest level at which noise is added.
        s_tmax (float): Largest level at which noise is added.
        s_noise (float): Standard deviation of the added noise, relative to the right one.
    """

    def __init__(
        self,
        num_steps: int | None = None,
        sigma_min: float = SIGMA_MIN,
        sigma_max: float = SIGMA_MAX,
        rho: float = RHO,
        s_churn: float = 0.0,
        s_tmin: float = 0.0,
        s_tmax: float = float('inf'),
        s_noise: float = 1.0,
        sigmas: Sequence[float] | None = None,
    ) -> None:
        super().__init__(num_steps, sigma_min, sigma_max, rho, sigmas)
        for name, value in (('s_churn', s_churn), ('s_tmin', s_tmin), ('s_tmax', s_tmax), ('s_noise', s_noise)):
            if not (isinstance(value, (int, float)) and value >= 0):
                raise InputError(f'{name} has to be 0 or a positive number, got {value!r}; s_churn=0 turns churn off.')
        if s_noise == math.inf:
            raise InputError('s_noise has to be finite; 1 is the right amount of noise.')
        self.s_churn = s_churn
        self.s_tmin = s_tmin
        self.s_tmax = s_tmax
        self.s_noise = s_noise

    def churn(self, sigma: float, x: Tensor, randn_like: RandnLike) -> tuple[float, Tensor]:
        """Return the raised noise level and the images with the noise added."""
        if not self.s_churn:
            return sigma, x
        noise = randn_like(x)  # also outside [s_tmin, s_tmax], as in the reference: the stream of noise stays the same
        if not self.s_tmin <= sigma <= self.s_tmax:
            return sigma, x
        raised = sigma * (1 + min(self.s_churn / self.num_steps, math.sqrt(2) - 1))
        return raised, x + noise * (self.s_noise * math.sqrt(raised**2 - sigma**2))
