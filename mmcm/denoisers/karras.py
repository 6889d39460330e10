"""Denoiser with the preconditioning of EDM (Karras et al., 2022, arXiv 2206.00364, Table 1).

With `boundary`, the consistency parametrisation of Song et al. (2023, arXiv 2303.01469, Eq. 5 and Appendix C).
"""

import math
from typing import Any

import torch
from torch import Tensor

from mmcm.denoisers.base import Denoiser
from mmcm.denoisers.guidance_input import check_guided_network
from mmcm.denoisers.noise_conditioning import C_NOISE, DEFAULT
from mmcm.noise.schedules import SIGMA_MIN
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError


@MODELS.register_module()
class KarrasDenoiser(Denoiser):
    """D(x, sigma) = c_skip x + c_out F(c_in x, c_noise), an estimate of the clean image.

    Args:
        backbone (dict): Config of the network F.
        sigma_data (float): Standard deviation of the data; images lie in [-1, 1].
        sigma_min (float): Smallest noise level, epsilon in Song et al.
        boundary (bool): Whether D(x, sigma_min) = x has to hold, whatever F is. False is EDM's own preconditioning.
        c_noise (str): Noise level as F takes it: '250 log sigma', which the released consistency models expect, or
            'log(sigma) / 4', which the networks of EDM and EDM2 expect.
        guided (bool): Whether the scale w of guidance is an input of the network, as of a student of a guided teacher
            (Meng et al., 2023, arXiv 2210.03142); the backbone then has `num_conditions` of 1, which is
            c_noise of w.
        guidance (float): w of a guided network for sampling, 1 or more.
        init_cfg (dict, optional): MMEngine's initialisation config.
    """

    def __init__(
        self,
        backbone: dict,
        sigma_data: float = 0.5,
        sigma_min: float = SIGMA_MIN,
        boundary: bool = True,
        c_noise: str = DEFAULT,
        init_cfg: dict | None = None,
        guided: bool = False,
        guidance: float = 1.0,
    ) -> None:
        super().__init__(backbone, sigma_data, c_noise, init_cfg)
        check_guided_network(self.backbone, guided, guidance, num_conditions=int(guided))
        self.guided = guided
        self.guidance = float(guidance)
        if not 0 <= sigma_min < math.inf:
            raise InputError(f'sigma_min has to be a number of at least 0, got {sigma_min}.')
        self.offset = sigma_min if boundary else 0.0

    @property
    def has_log_variance(self) -> bool:
        """Whether the network learns u(sigma), the logarithm of the variance of its loss, as that of EDM2 does."""
        return hasattr(self.backbone, 'log_variance')

    def forward(
        self,
        x: Tensor,
        sigma: Tensor,
        labels: Tensor | None = None,
        augment_labels: Tensor | None = None,
        *,
        with_log_variance: bool = False,
        guidance: Tensor | None = None,
    ) -> Any:
        """Estimate x0 from `x` (N, C, H, W) with noise levels `sigma` (N,); see `Denoiser`.

        A guided network takes w of each image as `guidance` (N,), by default its own. With `with_log_variance`, return
        the images and u(sigma) (N,). Objectives call for it this way, and not by a method of its own, because sharded
        training gathers weights for `forward`.
        """
        c_skip, c_out, c_in = (c.view(-1, 1, 1, 1) for c in self.scalings(sigma))
        c_noise = C_NOISE[self.c_noise]
        more = {}
        if self.guided:
            scale = torch.full_like(sigma, self.guidance) if guidance is None else guidance
            more = dict(conditions=c_noise(scale)[:, None])
        output = self.raw_network(c_in * x, c_noise(sigma), labels, augment_labels, **more)
        denoised = c_skip * x + c_out * output
        return (denoised, self.backbone.log_variance(c_noise(sigma))) if with_log_variance else denoised

    def scalings(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return c_skip, c_out and c_in, each with the shape of `sigma`.

        As in the released code, sigma - sigma_min enters only c_skip and the numerator of c_out.
        """
        excess = sigma - self.offset
        variance = sigma**2 + self.sigma_data**2
        c_skip = self.sigma_data**2 / (excess**2 + self.sigma_data**2)
        c_out = self.sigma_data * excess / variance.sqrt()
        c_in = 1 / variance.sqrt()
        return c_skip, c_out, c_in
