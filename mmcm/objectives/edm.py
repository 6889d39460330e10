"""Objective of diffusion models, as in EDM (Karras et al., 2022, arXiv 2206.00364, Eq. 2 and Table 1)."""

from typing import Any

from torch import Tensor

from mmcm.noise.global_batch import draw_for_batch
from mmcm.noise.loss_second_moment import LossSecondMomentLevels, build_sigma_distribution
from mmcm.objectives.base import Networks, Objective
from mmcm.objectives.solvers import column
from mmcm.registry import OBJECTIVES, WEIGHTINGS


@OBJECTIVES.register_module()
class EDM(Objective):
    """Denoising score matching: L = weight(sigma) |D(x0 + sigma z, sigma) - x0|^2, the mean over an image's values.

    With `uncertainty`, the loss is exp(-u(sigma)) L + u(sigma), where the network learns u, the logarithm of L at each
    level, so that all levels count the same (Karras et al., 2024, arXiv 2312.02696, Section 2.2).

    Args:
        levels (dict, optional): Sigma distribution; LognormalLevels if None.
        weighting (dict, optional): Weight of each sigma; KarrasWeighting if None.
        uncertainty (bool): Whether the levels are weighted by u(sigma). The network has to have it, as EDM2UNet has.
    """

    def __init__(self, levels: dict | None = None, weighting: dict | None = None, uncertainty: bool = False) -> None:
        super().__init__()
        self.needs_log_variance = uncertainty
        self.levels = build_sigma_distribution(levels or dict(type='LognormalLevels'), learns=True)
        self.weighting = WEIGHTINGS.build(weighting or dict(type='KarrasWeighting'))

    def forward(self, networks: Networks, x0: Tensor, labels: Tensor | None, step: int) -> dict[str, Tensor]:
        """Compute the loss per image; see `Objective`. The log also gets the unweighted mean squared error, and u."""
        sigma, noise = draw_for_batch(self.levels, x0)
        sigma = sigma.to(x0)
        x = x0 + column(sigma) * noise
        online: Any = networks.online
        options = dict(with_log_variance=True) if self.needs_log_variance else {}
        output = online(x, sigma, labels, **options)
        denoised, log_variance = output if self.needs_log_variance else (output, None)
        error = (denoised - x0).square().flatten(1).mean(1)
        loss = self.weighting(sigma) * error
        if isinstance(self.levels, LossSecondMomentLevels):
            loss = self.levels.weigh(loss, sigma)
        result = dict(loss=loss, sigma=sigma, mse=error.detach())
        if log_variance is not None:
            result.update(loss=loss * (-log_variance).exp() + log_variance, log_variance=log_variance.detach())
        return result
