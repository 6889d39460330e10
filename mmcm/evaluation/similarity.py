"""Similarity of images and references: PSNR, and SSIM (Wang et al., 2004).

Images are (N, C, H, W) with values in [0, 255], uint8 or float. Results are float64, (N,), one per image, computed over
all of its channels: the mean over R, G and B, not the value of a brightness.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcm.utils.errors import InputError

PEAK = 255.0  # the largest value, L in Wang et al.
# A value that is rounded to the nearest whole one is off by anything up to 1/2, all equally likely.
ROUNDING_ERROR = 1 / 12  # its mean square
WINDOW, SIGMA = 11, 1.5  # pixels; Wang et al., Section III-B
K1, K2 = 0.01, 0.03  # Wang et al., Section III-B


class Similarity(NamedTuple):
    """Squared error, PSNR in dB and SSIM of images, each (N,), float64."""

    squared_error: Tensor
    psnr: Tensor
    ssim: Tensor


def similarity(images: Tensor, references: Tensor) -> Similarity:
    """Return the similarity of `images` and `references`."""
    error = squared_error(images, references)
    return Similarity(error, as_psnr(error), ssim(images, references))


def squared_error(images: Tensor, references: Tensor) -> Tensor:
    """Return the mean squared error over pixels and channels, at least that of rounding to whole values."""
    error = (images.double() - references.double()).square().flatten(1).mean(1)
    return error.clamp(min=ROUNDING_ERROR)


def as_psnr(error: Tensor) -> Tensor:
    """Return 10 log10(255^2 / mean squared error), the peak signal-to-noise ratio, in dB."""
    return 10 * (PEAK**2 / error).log10()


def psnr(images: Tensor, references: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of the squared error, in dB.

    It is at most 58.92, that of rounding, also for equal images: so a mean over images stays finite, and flat images,
    which are easy, do not dominate it.
    """
    return as_psnr(squared_error(images, references))


def ssim(images: Tensor, references: Tensor) -> Tensor:
    """Return the structural similarity, at most 1: Wang et al. (2004, Eq. 13), its mean over windows and channels.

    Means, variances and the covariance are those of windows of 11 x 11 pixels with Gaussian weights, of all windows
    inside the image: there is no padding.

    Raises:
        InputError: If the images are smaller than a window.
    """
    if min(images.shape[-2:]) < WINDOW:
        raise InputError(
            f'SSIM looks at windows of {WINDOW} x {WINDOW} pixels, got images of '
            f'{images.shape[-2]} x {images.shape[-1]}: take larger ones.'
        )
    x, y = images.double(), references.double()
    mean_x, mean_y = windowed_mean(x), windowed_mean(y)
    variance_x = windowed_mean(x * x) - mean_x**2
    variance_y = windowed_mean(y * y) - mean_y**2
    covariance = windowed_mean(x * y) - mean_x * mean_y
    c1, c2 = (K1 * PEAK) ** 2, (K2 * PEAK) ** 2
    index = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    index = index / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))
    return index.flatten(1).mean(1)


def windowed_mean(images: Tensor) -> Tensor:
    """Return the weighted mean of each window of `images` (N, C, H, W), float64: (N, C, H - 10, W - 10)."""
    offsets = torch.arange(WINDOW, dtype=torch.float64, device=images.device) - WINDOW // 2
    weights = (-(offsets**2) / (2 * SIGMA**2)).exp()
    weights = weights / weights.sum()
    planes = images.flatten(0, 1)[:, None]
    means = F.conv2d(F.conv2d(planes, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
    return means[:, 0].unflatten(0, images.shape[:2])
