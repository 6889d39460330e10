"""Contract of denoisers: a network F, and preconditioning around it that makes D(x, sigma) of it."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from mmcm.denoisers.guidance import Guidance
from mmcm.denoisers.network import build_network
from mmcm.denoisers.noise_conditioning import C_NOISE
from mmcm.utils.checks import check_choice, check_positive
from mmcm.utils.mmengine_bases import BaseModule


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

    guided = False  # whether the scale of guidance is an input of the network: forward(..., guidance=...)
    guidance = 1.0  # w of a guided network, by default
    # With num_classes, in_channels and image_size, and forward(x, c_noise, labels); where augment_dim is a number, the
    # fourth argument is augment_labels.
    backbone: Any

    def __init__(
        self, backbone: dict, sigma_data: float, c_noise: str, init_cfg: dict | None, num_outputs: int = 1
    ) -> None:
        super().__init__(init_cfg)
        check_positive('sigma_data', sigma_data)
        check_choice('c_noise', c_noise, tuple(C_NOISE))
        self.backbone = build_network(backbone, num_outputs)
        self.sigma_data = sigma_data
        self.c_noise = c_noise

    @property
    def null_label(self) -> int | None:
        """Label of an image whose class is not given, None where the network has no such class."""
        return getattr(self.backbone, 'null_label', None)

    @property
    def has_log_variance(self) -> bool:
        """Whether `forward` takes `with_log_variance`, and then returns the logarithm of the loss's variance, too."""
        return False

    @property
    def own_guidance(self) -> Guidance:
        """The guidance that a guided network samples with unless another is asked for."""
        return Guidance(self.guidance)

    def guidance_inputs(self, sigma: Tensor, guidance: Guidance) -> Any:
        """Return what `forward` of a guided network takes as `guidance` at levels `sigma` (N,).

        It is w of each image, (N,), and 1 outside the interval, unless the network takes more.
        """
        return torch.where(guidance.guided(sigma), torch.full_like(sigma, guidance.scale), 1)

    @abstractmethod
    def forward(
        self, x: Tensor, sigma: Tensor, labels: Tensor | None = None, augment_labels: Tensor | None = None
    ) -> Tensor:
        """Estimate x0 from noisy images.

        Args:
            x (Tensor): Noisy images, (N, C, H, W).
            sigma (Tensor): Their noise levels, (N,).
            labels (Tensor, optional): Classes, (N,); needed exactly when F has classes.
            augment_labels (Tensor, optional): How training images were augmented, (N, augment_dim), for an F that knows
                these labels; None stands for no augmentation.
        """

    def raw_network(
        self, x: Tensor, c_noise: Tensor, labels: Tensor | None, augment_labels: Tensor | None, **more: Tensor
    ) -> Tensor:
        """Return the output of the network F, which gets augmentation labels and more only where there are any."""
        if augment_labels is None:
            return self.backbone(x, c_noise, labels, **more)
        return self.backbone(x, c_noise, labels, augment_labels, **more)
