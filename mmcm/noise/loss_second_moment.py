"""Sigma distribution in proportion to the loss at each level (Nichol & Dhariwal, 2021, arXiv 2102.09672)."""

import torch
from mmengine.dist import all_gather
from torch import Tensor, nn

from mmcm.noise.level_distributions import SigmaDistribution
from mmcm.noise.schedules import RHO, SIGMA_MAX, SIGMA_MIN, check_range, karras_sigmas
from mmcm.registry import SIGMA_DISTRIBUTIONS
from mmcm.utils.errors import InputError


def build_sigma_distribution(config: dict, learns: bool = False) -> SigmaDistribution:
    """Build a sigma distribution.

    Args:
        config (dict): Its config.
        learns (bool): Whether the objective passes its losses to a distribution that learns from them.

    Raises:
        InputError: If the distribution learns from losses, and the objective passes it none.
    """
    levels = SIGMA_DISTRIBUTIONS.build(config)
    if isinstance(levels, LossSecondMomentLevels) and not learns:
        raise InputError(
            'LossSecondMomentLevels learns from the losses of EDM; other objectives take LognormalLevels '
            'or UniformLevels.'
        )
    return levels


@SIGMA_DISTRIBUTIONS.register_module()
class LossSecondMomentLevels(nn.Module):
    """Sample level i of a schedule with p_i ~ sqrt(E[L_i^2]), and divide its loss by p_i (Section 3.3).

    The expectation is over the last losses at the level; until each level has enough of them, all are equally likely.
    They are part of the checkpoint.

    Args:
        num_levels (int): Levels of the schedule.
        history (int): Number of last losses to keep for each level.
        uniform (float): Ratio of images that sample all levels equally, in (0, 1]; it keeps every level trained.
        sigma_min (float): Smallest noise level, in the units of the data.
        sigma_max (float): Largest noise level.
        rho (float): How strongly the levels crowd near `sigma_min`.
    """

    sigmas: Tensor
    losses: Tensor
    counts: Tensor

    def __init__(
        self,
        num_levels: int = 40,
        history: int = 10,
        uniform: float = 0.001,
        sigma_min: float = SIGMA_MIN,
        sigma_max: float = SIGMA_MAX,
        rho: float = RHO,
    ) -> None:
        super().__init__()
        check_range(sigma_min, sigma_max, rho)
        if num_levels < 2 or history < 1 or not 0 < uniform <= 1:
            raise InputError(
                'num_levels has to be at least 2, history at least 1 and uniform in (0, 1], got '
                f'{num_levels}, {history} and {uniform}.'
            )
        self.uniform = uniform
        sigmas = karras_sigmas(num_levels, sigma_min, sigma_max, rho).float()
        self.register_buffer('sigmas', sigmas, persistent=False)
        self.register_buffer('losses', torch.zeros(num_levels, history, dtype=torch.float32))
        self.register_buffer('counts', torch.zeros(num_levels, dtype=torch.int64))

    def probabilities(self) -> Tensor:
        """Return the probability of each level: (num_levels,)."""
        moments = self.losses.square().mean(1).sqrt()
        even = torch.full_like(moments, 1 / len(moments))
        learned = (1 - self.uniform) * moments / moments.sum() + self.uniform * even
        ready = (self.counts >= self.losses.shape[1]).all() & (moments.sum() > 0)
        return torch.where(ready, learned, even)

    def forward(self, num: int) -> Tensor:
        """Sample `num` noise levels: (num,), float32, on the device of the module."""
        return self.sigmas[torch.multinomial(self.probabilities(), num, replacement=True)]

    @torch.no_grad()
    def _keep(self, index: Tensor, losses: Tensor) -> None:
        size = self.losses.shape[1]
        same = index[:, None] == index
        earlier = same.tril(-1).sum(1)  # of the same level, in this batch
        later = same.triu(1).sum(1)
        kept = later < size  # the others would be overwritten at once
        place = (self.counts[index] + earlier) % size
        self.losses[index[kept], place[kept]] = losses[kept]
        self.counts += torch.bincount(index, minlength=len(self.counts))

    def weigh(self, losses: Tensor, sigma: Tensor) -> Tensor:
        """Return `losses` (N,) with the weight 1 / (num_levels p_i) of their levels `sigma` (N,), and keep them."""
        index = torch.searchsorted(-self.sigmas, -sigma)
        weights = 1 / (len(self.sigmas) * self.probabilities()[index])
        self._keep(torch.cat(all_gather(index)), torch.cat(all_gather(losses.detach().float())))
        return weights * losses
