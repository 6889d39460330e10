"""Noise levels in proportion to how much they contribute to the loss (Nichol & Dhariwal, 2021, arXiv 2102.09672)."""

from collections.abc import Callable

import torch
from mmengine.dist import all_gather
from torch import Tensor, nn

from mmcm.noise.schedules import RHO, SIGMA_MAX, SIGMA_MIN, check_range, karras_sigmas
from mmcm.registry import LEVELS
from mmcm.utils.errors import InputError


def build_levels_alone(config: dict) -> Callable[[int], Tensor]:
    """Build a distribution of noise levels for an objective that has no losses to tell it.

    Raises:
        InputError: If the distribution learns from losses.
    """
    levels = LEVELS.build(config)
    if isinstance(levels, LossSecondMomentLevels):
        raise InputError(
            'LossSecondMomentLevels learns from the losses of EDM; other objectives take LognormalLevels '
            'or UniformLevels.'
        )
    return levels


@LEVELS.register_module()
class LossSecondMomentLevels(nn.Module):
    """Draw level i of a schedule with p_i ~ sqrt(E[L_i^2]), and divide its loss by p_i (Section 3.3).

    The expectation is over the last losses at the level; until each level has enough of them, all are equally likely.
    They are part of the checkpoint.

    Args:
        num_levels (int): Levels of the schedule.
        history (int): Losses that are remembered for each level.
        uniform (float): Share of draws from all levels equally, in (0, 1]: no level is ever forgotten.
        sigma_min (float): Smallest noise level, in the units of the data.
        sigma_max (float): Largest noise level.
        rho (float): How strongly the levels crowd near `sigma_min`.
    """

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
        """Draw `num` levels: (num,), float32, on the device of the module."""
        return self.sigmas[torch.multinomial(self.probabilities(), num, replacement=True)]

    @torch.no_grad()
    def _remember(self, index: Tensor, losses: Tensor) -> None:
        size = self.losses.shape[1]
        same = index[:, None] == index
        earlier = same.tril(-1).sum(1)  # of the same level, in this batch
        later = same.triu(1).sum(1)
        kept = later < size  # the others would be overwritten at once
        place = (self.counts[index] + earlier) % size
        self.losses[index[kept], place[kept]] = losses[kept]
        self.counts += torch.bincount(index, minlength=len(self.counts))

    def weigh(self, losses: Tensor, sigma: Tensor) -> Tensor:
        """Return `losses` (N,) with the weight 1 / (num_levels p_i) of their levels `sigma` (N,), and remember them."""
        index = torch.searchsorted(-self.sigmas, -sigma)
        weights = 1 / (len(self.sigmas) * self.probabilities()[index])
        self._remember(torch.cat(all_gather(index)), torch.cat(all_gather(losses.detach().float())))
        return weights * losses
