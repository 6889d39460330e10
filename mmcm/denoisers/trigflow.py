"""Denoiser with the parametrisation of TrigFlow (Lu & Song, 2024, arXiv 2410.11081, Section 3)."""

import torch
from torch import Tensor

from mmcm.denoisers.base import Denoiser
from mmcm.denoisers.noise_conditioning import C_NOISE, DEFAULT
from mmcm.registry import MODELS


@MODELS.register_module()
class TrigFlowDenoiser(Denoiser):
    """D(x, sigma) = cos(t) x_t - sin(t) sigma_data F(x_t / sigma_data, t), with t = arctan(sigma / sigma_data).

    x_t = cos(t) x = cos(t) x0 + sin(t) z goes from the data at t = 0 to noise z ~ N(0, sigma_data^2) at t = pi / 2. In
    terms of sigma that is EDM's preconditioning with -F in the place of F, so F here is the backbone with its sign
    changed: the weights of an EDM model give the same denoiser.

    Args:
        backbone (dict): Config of the network.
        sigma_data (float): Standard deviation of the data; images lie in [-1, 1].
        time_scale (float, optional): Factor of the network's c_noise = time_scale t, whose derivative is bounded. None
            takes `c_noise` in place of it.
        c_noise (str): Noise level as the backbone takes it without a `time_scale`, for weights that expect it; see
            `KarrasDenoiser`.
        init_cfg (dict, optional): MMEngine's initialisation config.
    """

    def __init__(
        self,
        backbone: dict,
        sigma_data: float = 0.5,
        time_scale: float | None = None,
        c_noise: str = DEFAULT,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(backbone, sigma_data, c_noise, init_cfg)
        self.time_scale = time_scale

    def forward(
        self, x: Tensor, sigma: Tensor, labels: Tensor | None = None, augment_labels: Tensor | None = None
    ) -> Tensor:
        """Estimate x0 from `x` (N, C, H, W) with noise levels `sigma` (N,); see `Denoiser`."""
        t = torch.atan(sigma / self.sigma_data)
        cos, sin = t.cos().view(-1, 1, 1, 1), t.sin().view(-1, 1, 1, 1)
        x_t = cos * x
        return cos * x_t - sin * self.sigma_data * self.network(x_t / self.sigma_data, t, labels, augment_labels)

    def network(
        self, x: Tensor, t: Tensor, labels: Tensor | None = None, augment_labels: Tensor | None = None
    ) -> Tensor:
        """Return F(x, t) for `x` = x_t / sigma_data (N, C, H, W), of unit variance, and `t` (N,) in (0, pi / 2)."""
        if self.time_scale is None:
            conditioning = C_NOISE[self.c_noise](self.sigma_data * t.tan())
        else:
            conditioning = self.time_scale * t
        return -self.raw_network(x, conditioning, labels, augment_labels)
