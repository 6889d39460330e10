"""The derivative of a network along a direction of its input."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmcm.registry import TANGENTS
from mmcm.utils.errors import InputError


@TANGENTS.register_module()
class ForwardModeTangent:
    """Exact, by one pass in forward mode."""

    def __call__(
        self,
        network: Callable[[Tensor, Tensor], Tensor],
        x: Tensor,
        t: Tensor,
        x_direction: Tensor,
        t_direction: Tensor,
    ) -> Tensor:
        """Return the derivative of network(x, t) along the direction: (N, C, H, W), without gradients.

        Args:
            network (Callable): Of x (N, C, H, W) and t (N,).
            x (Tensor): Where, (N, C, H, W).
            t (Tensor): Where, (N,).
            x_direction (Tensor): (N, C, H, W).
            t_direction (Tensor): (N,).
        """
        # Fused attention has no derivative in forward mode; attention written out has.
        with torch.no_grad(), forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH):
            dual = network(forward_ad.make_dual(x, x_direction), forward_ad.make_dual(t, t_direction))
            value, tangent = forward_ad.unpack_dual(dual)
            return torch.zeros_like(value) if tangent is None else tangent


@TANGENTS.register_module()
class FiniteDifferenceTangent:
    """Central difference, for networks with parts that have no forward mode: two passes.

    Args:
        step (float): How far to go to each side, in units of the direction. Rounding spoils small ones, and large ones
            miss how fast a network with c_noise = 250 log sigma turns.
    """

    def __init__(self, step: float = 5e-4) -> None:
        if not step > 0:
            raise InputError(f'the step of a finite difference has to be positive, got {step}.')
        self.step = step

    def __call__(
        self,
        network: Callable[[Tensor, Tensor], Tensor],
        x: Tensor,
        t: Tensor,
        x_direction: Tensor,
        t_direction: Tensor,
    ) -> Tensor:
        """Return the derivative of network(x, t) along the direction; see `ForwardModeTangent`."""
        with torch.no_grad():
            ahead = network(x + self.step * x_direction, t + self.step * t_direction)
            behind = network(x - self.step * x_direction, t - self.step * t_direction)
            return (ahead - behind) / (2 * self.step)
