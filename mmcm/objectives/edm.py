"""Objective of diffusion models, as in EDM (Karras et al., 2022, arXiv 2206.00364, Eq. 2 and Table 1)."""

from torch import Tensor

from mmcm.noise.global_batch import draw_for_batch
from mmcm.noise.loss_second_moment import LossSecondMomentLevels, build_sigma_distribution
from mmcm.objectives.base import Networks, Objective
from mmcm.objectives.solvers import column
from mmcm.registry import OBJECTIVES, WEIGHTINGS


@OBJECTIVES.register_module()
class EDM(Objective):
    """Denoising score matching: weight(sigma) |D(x0 + sigma z, sigma) - x0|^2, averaged over the values of an image.

    Args:
        levels (dict, optional): Sigma distribution; LognormalLevels if None.
        weighting (dict, optional): Weight of each sigma; KarrasWeighting if None.
    """

    def __init__(self, levels: dict | None = None, weighting: dict | None = None) -> None:
        super().__init__()
        self.levels = build_sigma_distribution(levels or dict(type='LognormalLevels'), learns=True)
        self.weighting = WEIGHTINGS.build(weighting or dict(type='KarrasWeighting'))

    def forward(self, networks: Networks, x0: Tensor, labels: Tensor | None, step: int) -> dict[str, Tensor]:
        """Compute the loss per image; see `Objective`. The log also gets the unweighted mean squared error."""
        sigma, noise = draw_for_batch(self.levels, x0)
        sigma = sigma.to(x0)
        x = x0 + column(sigma) * noise
        error = (networks.online(x, sigma, labels) - x0).square().flatten(1).mean(1)
        loss = self.weighting(sigma) * error
        if isinstance(self.levels, LossSecondMomentLevels):
            loss = self.levels.weigh(loss, sigma)
        return dict(loss=loss, sigma=sigma, mse=error.detach())
