"""What all samplers have in common: their contract, and the loop over noise levels that those of the ODE share."""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmcm.noise.schedules import RHO, SIGMA_MAX, SIGMA_MIN, check_range, karras_sigmas
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError

Denoise = Callable[[Tensor, Tensor], Tensor]  # (x (N, C, H, W), sigma (N,)) -> x0, a closure over the labels
RandnLike = Callable[[Tensor], Tensor]  # standard normal noise like its argument
Callback = Callable[[int, float, Tensor, Tensor], None]  # (step, sigma, noisy x, estimate of x0)


class Sampler(ABC):
    """A way to turn noise into images by calls of a denoiser.

    Coefficients are Python floats, so that no step waits for the device; images keep the dtype of the noise.
    """

    @property
    @abstractmethod
    def num_steps(self) -> int:
        """How often the callback hears of progress."""

    @property
    @abstractmethod
    def nfe(self) -> int:
        """How often the denoiser, that is the network, is evaluated."""

    @property
    def num_calls(self) -> int:
        """`nfe`. Deprecated."""
        warnings.warn('num_calls of a sampler is nfe now.', DeprecationWarning, stacklevel=2)
        return self.nfe

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if 'num_calls' in vars(cls) and 'nfe' not in vars(cls):  # a class that was written before `nfe`
            warnings.warn(f'num_calls of {cls.__name__} is to be called nfe now.', DeprecationWarning, stacklevel=2)
            cls.nfe = vars(cls)['num_calls']

    @property
    @abstractmethod
    def first_sigma(self) -> float:
        """The noise level that the first step starts from."""

    @abstractmethod
    def __call__(
        self, denoise: Denoise, noise: Tensor, randn_like: RandnLike, callback: Callback | None = None
    ) -> Tensor:
        """Draw images.

        Args:
            denoise (Callable): Estimate of the clean image, from x (N, C, H, W) and sigma (N,).
            noise (Tensor): Standard normal noise, (N, C, H, W); the sampler scales it.
            randn_like (Callable): Source of all further noise.
            callback (Callable, optional): Called in each step, after the denoiser, with the step from 0, the noise
                level, the noisy images that the denoiser saw and its estimate. It must not change them.

        Returns:
            Tensor: Images, (N, C, H, W).
        """


class KarrasSampler(Sampler):
    """A sampler that goes down the levels of Karras et al. (2022, Eq. 5), and then to zero.

    Args:
        num_steps (int): Number of steps, at least 1.
        sigma_min (float): Last level above zero, in the units of the data.
        sigma_max (float): First level.
        rho (float): How strongly the levels crowd near `sigma_min`.
    """

    def __init__(
        self, num_steps: int, sigma_min: float = SIGMA_MIN, sigma_max: float = SIGMA_MAX, rho: float = RHO
    ) -> None:
        check_count('num_steps', num_steps)
        check_range(sigma_min, sigma_max, rho)
        self._num_steps = num_steps
        self.sigma_min = sigma_min
        self.sigma_max = sigma_max
        self.rho = rho

    @property
    def num_steps(self) -> int:
        """How often the callback hears of progress: once per step."""
        return self._num_steps

    @property
    def nfe(self) -> int:
        """How often the denoiser is evaluated: once per step."""
        return self.num_steps

    @property
    def first_sigma(self) -> float:
        """The noise level that the first step starts from: sigma_max."""
        return self.sigma_max

    def __call__(
        self, denoise: Denoise, noise: Tensor, randn_like: RandnLike, callback: Callback | None = None
    ) -> Tensor:
        """Draw images; see `Sampler`."""
        x = noise * self.sigma_max
        # In single precision the released code computes the levels in it, too: the first is 79.99998. Here the rounding
        # of a difference of two large numbers depends on that, so we follow.
        sigmas = self.levels(torch.float64 if noise.dtype == torch.float64 else torch.float32)
        for step, (sigma, next_sigma) in enumerate(zip(sigmas, sigmas[1:])):
            sigma, x = self.churn(sigma, x, randn_like)
            x0 = denoise(x, x.new_full((x.shape[0],), sigma))
            if callback is not None:
                callback(step, sigma, x, x0)
            x = self.advance(denoise, x, x0, sigma, next_sigma, randn_like)
        return x

    def levels(self, dtype: torch.dtype) -> list[float]:
        """Return the level before the first step and after each, computed in `dtype`: num_steps + 1 numbers."""
        sigmas = karras_sigmas(self.num_steps, self.sigma_min, self.sigma_max, self.rho, dtype)
        return [*sigmas.tolist(), 0.0]

    def churn(self, sigma: float, x: Tensor, randn_like: RandnLike) -> tuple[float, Tensor]:
        """Return the level and the images that a step starts from; here unchanged."""
        return sigma, x

    @abstractmethod
    def advance(
        self, denoise: Denoise, x: Tensor, x0: Tensor, sigma: float, next_sigma: float, randn_like: RandnLike
    ) -> Tensor:
        """Take `x` (N, C, H, W), whose clean image is estimated as `x0`, from level `sigma` to `next_sigma`."""


class ChurnSampler(KarrasSampler):
    """A second-order sampler that may raise the noise level before each step (Karras et al., 2022, Algorithm 2).

    Args:
        num_steps (int): Number of steps, at least 1.
        sigma_min (float): Last level above zero, in the units of the data.
        sigma_max (float): First level.
        rho (float): How strongly the levels crowd near `sigma_min`.
        s_churn (float): How much noise is added over all steps; 0 makes the sampler deterministic.
        s_tmin (float): Smallest level at which noise is added.
        s_tmax (float): Largest level at which noise is added.
        s_noise (float): Standard deviation of the added noise, relative to the right one.
    """

    def __init__(
        self,
        num_steps: int,
        sigma_min: float = SIGMA_MIN,
        sigma_max: float = SIGMA_MAX,
        rho: float = RHO,
        s_churn: float = 0.0,
        s_tmin: float = 0.0,
        s_tmax: float = float('inf'),
        s_noise: float = 1.0,
    ) -> None:
        super().__init__(num_steps, sigma_min, sigma_max, rho)
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
