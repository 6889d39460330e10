"""How much each noise level sigma counts in a loss; 1 / sigma^2 is the signal-to-noise ratio."""

import torch
from torch import Tensor

from mmcm.registry import WEIGHTINGS


@WEIGHTINGS.register_module()
class UniformWeighting:
    """1: all levels count the same."""

    def __call__(self, sigma: Tensor) -> Tensor:
        """Return the weights of the levels `sigma` (N,): (N,)."""
        return torch.ones_like(sigma)


@WEIGHTINGS.register_module()
class SNRWeighting:
    """1 / sigma^2."""

    def __call__(self, sigma: Tensor) -> Tensor:
        """Return the weights of the levels `sigma` (N,): (N,)."""
        return sigma**-2


@WEIGHTINGS.register_module()
class SNRPlusOneWeighting:
    """1 / sigma^2 + 1."""

    def __call__(self, sigma: Tensor) -> Tensor:
        """Return the weights of the levels `sigma` (N,): (N,)."""
        return sigma**-2 + 1


@WEIGHTINGS.register_module()
class TruncatedSNRWeighting:
    """max(1 / sigma^2, 1)."""

    def __call__(self, sigma: Tensor) -> Tensor:
        """Return the weights of the levels `sigma` (N,): (N,)."""
        return (sigma**-2).clamp(min=1)


@WEIGHTINGS.register_module()
class KarrasWeighting:
    """1 / sigma^2 + 1 / sigma_data^2, which gives F a loss of unit size at all levels (Karras et al., 2022, Table 1).

    Args:
        sigma_data (float): Standard deviation of the data.
    """

    def __init__(self, sigma_data: float = 0.5) -> None:
        self.sigma_data = sigma_data

    def __call__(self, sigma: Tensor) -> Tensor:
        """Return the weights of the levels `sigma` (N,): (N,)."""
        return sigma**-2 + self.sigma_data**-2


@WEIGHTINGS.register_module()
class InverseSigmaWeighting:
    """1 / sigma + offset: small levels count more, large ones never vanish.

    Args:
        offset (float): Weight that is left at the largest levels.
    """

    def __init__(self, offset: float = 0.0) -> None:
        self.offset = offset

    def __call__(self, sigma: Tensor) -> Tensor:
        """Return the weights of the levels `sigma` (N,): (N,)."""
        return 1 / sigma + self.offset
