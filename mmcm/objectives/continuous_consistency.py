"""Continuous-time consistency models, sCT and sCD (Lu & Song, 2024, arXiv 2410.11081, Algorithm 1)."""

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from mmcm.denoisers.augmented import inner_denoiser
from mmcm.denoisers.trigflow import TrigFlowDenoiser
from mmcm.noise.global_batch import draw_for_batch
from mmcm.noise.loss_second_moment import build_sigma_distribution
from mmcm.objectives.base import Networks, Objective
from mmcm.objectives.solvers import column
from mmcm.registry import OBJECTIVES, TANGENTS
from mmcm.utils.errors import InputError
from mmcm.utils.mmengine_bases import BaseModule
from mmcm.utils.random_state import get_random_state, set_random_state


class ContinuousConsistency(Objective):
    """The limit of consistency objectives for infinitely small steps: no schedule, no error of a solver.

    With x_t = cos(t) x0 + sin(t) z, z ~ N(0, sigma_data^2), along the trajectory x_t' = dx_t/dt, and F^- the network
    without gradients, the tangent

        g = -cos(t)^2 (sigma_data F^- - x_t') - r cos(t) sin(t) (x_t + sigma_data dF^-/dt)

    is normalised, g := g / (|g| + c), and the loss of an image with D values is

        e^w(t) / D |F - F^- - g|^2 - w(t)

    with a learned w(t), so that all t count the same. r goes from 0 to 1 in the first steps. The denoiser has to be a
    TrigFlowDenoiser. Subclasses define x_t'.

    Args:
        levels (dict, optional): Sigma distribution of sigma_data tan(t); lognormal(-1.0, 1.4), the paper's, if None.
        warmup_steps (int): H, training steps over which r goes from 0 to 1; 10 000 in the paper.
        tangent (dict, optional): How dF^-/dt is computed; ForwardModeTangent if None.
        normaliser (float): c.
        weight_channels (int): Number of features of t that w(t) is linear in.
    """

    def __init__(
        self,
        levels: dict | None = None,
        warmup_steps: int = 10000,
        tangent: dict | None = None,
        normaliser: float = 0.1,
        weight_channels: int = 128,
    ) -> None:
        super().__init__()
        if warmup_steps < 0 or not normaliser > 0:
            raise InputError(
                f'warmup_steps has to be 0 or more and normaliser positive, got {warmup_steps} and {normaliser}.'
            )
        self.levels = build_sigma_distribution(levels or dict(type='LognormalLevels', mean=-1.0, std=1.4))
        self.warmup_steps = warmup_steps
        self.tangent = TANGENTS.build(tangent or dict(type='ForwardModeTangent'))
        self.normaliser = normaliser
        self.log_weight = LogWeight(weight_channels)

    @abstractmethod
    def velocity(
        self,
        networks: Networks,
        x0: Tensor,
        z: Tensor,
        x_t: Tensor,
        t: Tensor,
        labels: Tensor | None,
        sigma_data: float,
    ) -> Tensor:
        """Return dx_t/dt (N, C, H, W) for images `x0`, noise `z` and `x_t` (N, C, H, W) at `t` (N,)."""

    def forward(self, networks: Networks, x0: Tensor, labels: Tensor | None, step: int) -> dict[str, Tensor]:
        """Compute the loss per image; see `Objective`. The log also gets its parts, the size of the tangent, and r."""
        denoiser: Any = networks.online
        trained = inner_denoiser(denoiser)
        if not isinstance(trained, TrigFlowDenoiser):
            raise InputError(
                f'{type(self).__name__} trains a TrigFlowDenoiser, got a {type(trained).__name__}: set '
                "model.denoiser.type='TrigFlowDenoiser'."
            )
        sigma_data = denoiser.sigma_data
        sigma, noise = draw_for_batch(self.levels, x0)
        sigma = sigma.to(x0)
        t = torch.atan(sigma / sigma_data)
        cos, sin = column(t.cos()), column(t.sin())
        z = sigma_data * noise
        x_t = cos * x0 + sin * z
        with torch.no_grad():
            velocity = self.velocity(networks, x0, z, x_t, t, labels, sigma_data)

        random_state = get_random_state(x0.device)

        def network(x: Tensor, t: Tensor) -> Tensor:
            set_random_state(random_state, x0.device)  # the same dropout mask in all passes
            return denoiser.network(x, t, labels)

        # In full precision: differences need it, and autocast has no forward mode. The direction is (x_t', 1), that of
        # the trajectory, times cos(t) sin(t), which keeps the derivative bounded.
        with torch.autocast(x0.device.type, enabled=False):
            slope = self.tangent(network, x_t / sigma_data, t, cos * sin * velocity / sigma_data, t.cos() * t.sin())
        online = network(x_t / sigma_data, t)
        fixed = online.detach()
        warmup = min(step / self.warmup_steps, 1.0) if self.warmup_steps else 1.0
        tangent = -(cos**2) * (sigma_data * fixed - velocity) - warmup * (cos * sin * x_t + sigma_data * slope)
        size = torch.linalg.vector_norm(tangent.flatten(1), dim=1)
        target = fixed + tangent / column(size + self.normaliser)
        error = (online - target).square().flatten(1).mean(1)
        log_weight = self.log_weight(t)
        return dict(
            loss=log_weight.exp() * error - log_weight,
            sigma=sigma,
            error=error.detach(),
            log_weight=log_weight.detach(),
            tangent=size,
            warmup=torch.tensor(warmup, dtype=torch.float32, device='cpu'),
        )


@OBJECTIVES.register_module()
class ContinuousConsistencyTraining(ContinuousConsistency):
    """sCT: from data alone, dx_t/dt = cos(t) z - sin(t) x0. Arguments: see `ContinuousConsistency`."""

    def velocity(
        self,
        networks: Networks,
        x0: Tensor,
        z: Tensor,
        x_t: Tensor,
        t: Tensor,
        labels: Tensor | None,
        sigma_data: float,
    ) -> Tensor:
        """Return the slope of the line from the image to the noise."""
        return column(t.cos()) * z - column(t.sin()) * x0


@OBJECTIVES.register_module()
class ContinuousConsistencyDistillation(ContinuousConsistency):
    """sCD: dx_t/dt = sigma_data F_teacher(x_t / sigma_data, t). Arguments: see `ContinuousConsistency`.

    In terms of the teacher's denoised image D, whatever its parametrisation, that is (cos(t) x_t - D) / sin(t).
    """

    needs_teacher = True

    def velocity(
        self,
        networks: Networks,
        x0: Tensor,
        z: Tensor,
        x_t: Tensor,
        t: Tensor,
        labels: Tensor | None,
        sigma_data: float,
    ) -> Tensor:
        """Return the slope of the teacher's trajectory."""
        cos, sin = column(t.cos()), column(t.sin())
        denoised = networks.teacher_with(labels)(x_t / cos, sigma_data * t.tan())
        return (cos * x_t - denoised) / sin


class LogWeight(BaseModule):
    """w(t): linear in random Fourier features of t, and 0 to begin with.

    The features are those of EDM2's uncertainty (Karras et al., 2024, arXiv 2312.02696, Appendix B.3), drawn once from
    a fixed seed.

    Args:
        channels (int): Number of features.
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        generator = torch.Generator('cpu').manual_seed(0)
        normal = torch.randn(channels, generator=generator, dtype=torch.float32, device='cpu')
        uniform = torch.rand(channels, generator=generator, dtype=torch.float32, device='cpu')
        self.register_buffer('frequencies', 2 * math.pi * normal, persistent=False)
        self.register_buffer('phases', 2 * math.pi * uniform, persistent=False)
        self.linear = nn.Linear(channels, 1, bias=False)
        nn.init.zeros_(self.linear.weight)

    def forward(self, t: Tensor) -> Tensor:
        """Return w(t) for `t` (N,): (N,), float32."""
        features = math.sqrt(2 / len(self.frequencies)) * torch.cos(t[:, None] * self.frequencies + self.phases)
        return self.linear(features).squeeze(1).float()
