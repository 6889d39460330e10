"""Noise schedule of Karras et al. (2022, arXiv 2206.00364, Eq. 5), and its usual range."""

import math

import torch
from torch import Tensor

from mmcm.utils.errors import InputError

SIGMA_MIN = 0.002  # in the units of the data
SIGMA_MAX = 80.0
LARGEST_SIGMA = 1e18  # its square has to be a number in single precision
RHO = 7.0  # how strongly the levels crowd near sigma_min


def karras_sigma(
    position: Tensor, sigma_min: float = SIGMA_MIN, sigma_max: float = SIGMA_MAX, rho: float = RHO
) -> Tensor:
    """Return the noise level at `position`, from sigma_max at 0 down to sigma_min at 1 (any shape, its dtype kept)."""
    top, bottom = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return (top + position * (bottom - top)) ** rho


def karras_sigmas(
    num_scales: int,
    sigma_min: float = SIGMA_MIN,
    sigma_max: float = SIGMA_MAX,
    rho: float = RHO,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Return `num_scales` levels from sigma_max down to sigma_min, computed in `dtype` on the CPU: (num_scales,)."""
    return karras_sigma(torch.linspace(0, 1, num_scales, dtype=dtype, device='cpu'), sigma_min, sigma_max, rho)


def check_range(sigma_min: float, sigma_max: float, rho: float) -> None:
    """Raise an InputError unless 0 < sigma_min < sigma_max and rho > 0."""
    numbers = all(isinstance(value, (int, float)) for value in (sigma_min, sigma_max, rho))
    if not (numbers and 0 < sigma_min < sigma_max < LARGEST_SIGMA and 0 < rho < math.inf):
        raise InputError(
            f'noise levels need 0 < sigma_min < sigma_max and rho > 0, got sigma_min {sigma_min}, '
            f'sigma_max {sigma_max}, rho {rho}; the usual ones are {SIGMA_MIN}, {SIGMA_MAX} and {RHO}.'
        )
