"""Linear path of flow matching (Lipman et al., 2022, arXiv 2210.02747), in its own time and in terms of sigma.

z_t = (1 - t) x0 + t e goes from the image at t = 0 to noise e at t = 1. It is the noisy image of EDM on another scale:
z_t = (1 - t) x with x = x0 + sigma e and sigma = t / (1 - t).
"""

from typing import TypeVar

from torch import Tensor

Number = TypeVar('Number', float, Tensor)

# Sigma of t = 1, where it is infinite. A power of two, so that scaling by it rounds nothing, and large enough that
# t / (1 - t) cannot exceed it, even in double precision; its square is a number in single precision.
PURE_NOISE = 2.0**59


def time_of(sigma: Number) -> Number:
    """Return t for a noise level or several (any shape)."""
    return sigma / (1 + sigma)


def sigma_of(t: Number) -> Number:
    """Return the noise level of a time or several (any shape) in [0, 1]; `PURE_NOISE` for 1."""
    if isinstance(t, Tensor):
        return (t / (1 - t)).clamp(max=PURE_NOISE)
    return t / (1 - t) if t < 1 else PURE_NOISE
