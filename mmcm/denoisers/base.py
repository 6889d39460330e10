"""Contract of denoisers: a network F, and preconditioning around it that makes D(x, sigma) of it."""

from abc import abstractmethod
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor

from mmcm.denoisers.network import build_network
from mmcm.denoisers.noise_conditioning import C_NOISE
from mmcm.utils.checks import check_choice, check_positive


class Denoiser(BaseModule):
    """D(x, sigma), an estimate of the clean image.

    Args:
        backbone (dict): Config of the network F.
        sigma_data (float): Standard deviation of the data; images lie in [-1, 1].
        c_noise (str): Noise level as F takes it: '250 log sigma', which the released consistency models expect, or
            'log(sigma) / 4', which the networks of EDM and EDM2 expect.
        init_cfg (dict, optional): MMEngine's initialisation config.
        num_outputs (int): Images that F returns, one after the other in its channels.
    """

    backbone: Any  # with num_classes, in_channels and image_size, and forward(x, c_noise, labels)

    def __init__(
        self, backbone: dict, sigma_data: float, c_noise: str, init_cfg: dict | None, num_outputs: int = 1
    ) -> None:
        super().__init__(init_cfg)
        check_positive('sigma_data', sigma_data)
        check_choice('c_noise', c_noise, tuple(C_NOISE))
        self.backbone = build_network(backbone, num_outputs)
        self.sigma_data = sigma_data
        self.c_noise = c_noise

    @abstractmethod
    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        """Estimate x0 from `x` (N, C, H, W) with noise levels `sigma` (N,) and, if F has classes, `labels` (N,)."""
