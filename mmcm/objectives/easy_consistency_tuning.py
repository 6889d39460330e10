"""Easy consistency tuning (Geng et al., 2024, arXiv 2406.14548)."""

import torch
from torch import Tensor

from mmcm.curricula.base import Curriculum, ratio_at
from mmcm.noise.global_batch import draw_for_batch
from mmcm.noise.loss_second_moment import build_sigma_distribution
from mmcm.objectives.base import Networks, Objective
from mmcm.objectives.consistency import consistency_pair
from mmcm.objectives.solvers import EulerStep, column
from mmcm.registry import CURRICULA, DISTANCES, OBJECTIVES, WEIGHTINGS


@OBJECTIVES.register_module()
class EasyConsistencyTuning(Objective):
    """Turn a diffusion model into a consistency model: equal outputs at t and r, which moves from 0 towards t.

    r = max(t (1 - q^-(stage + 1) n(t)), 0) with n(t) = 1 + k sigmoid(-b t), and the weight is 1 / (t - r), unless there
    is a `weighting`. Where r is 0 the target is the clean image, so that the first stage goes on with the training of
    the diffusion model.

    The boundary condition holds without a parametrisation of its own: EDM's has D(x, 0) = x.

    Args:
        curriculum (dict): The ratio q^-(stage + 1), by the training step; ShrinkingCurriculum.
        distance (dict, optional): d(a, b); the l2 norm if None, the paper's for CIFAR-10.
        levels (dict, optional): Sigma distribution, that of t; lognormal(-1.1, 2.0), the paper's for CIFAR-10, if None.
        k (float): How much farther than the stage's ratio the smallest levels step. With 0, n(t) is 1 throughout.
        b (float): How fast that fades with t.
        weighting (dict, optional): Weight of each t in place of 1 / (t - r). KarrasWeighting, 1 / t^2 + 1 /
            sigma_data^2, is that of the authors' code for ImageNet.
    """

    def __init__(
        self,
        curriculum: dict,
        distance: dict | None = None,
        levels: dict | None = None,
        k: float = 8.0,
        b: float = 1.0,
        weighting: dict | None = None,
    ) -> None:
        super().__init__()
        self.curriculum: Curriculum = CURRICULA.build(curriculum)
        self.distance = DISTANCES.build(distance or dict(type='PseudoHuber', factor=0.0))
        self.levels = build_sigma_distribution(levels or dict(type='LognormalLevels', mean=-1.1, std=2.0))
        self.k = k
        self.b = b
        self.weighting = None if weighting is None else WEIGHTINGS.build(weighting)

    def draw(self, networks: Networks, num: int) -> Tensor:
        """Return t and a factor of the loss for `num` images: (num, 2), on the CPU."""
        t = self.levels(num)
        return torch.stack([t, torch.ones_like(t)], dim=1)

    def next_level(self, t: Tensor, ratio: float) -> Tensor:
        """Return r for the levels `t` (N,) and the stage's `ratio`: (N,)."""
        n = 1 + self.k * torch.sigmoid(-self.b * t)
        return (t * (1 - ratio * n)).clamp(min=0)

    def weights(self, t: Tensor, r: Tensor) -> Tensor:
        """Return the weight of each step from `t` (N,) to `r` (N,): (N,)."""
        # Where r rounds to t, there is nothing to learn.
        return torch.where(r < t, 1 / (t - r) if self.weighting is None else self.weighting(t), 0)

    def forward(self, networks: Networks, x0: Tensor, labels: Tensor | None, step: int) -> dict[str, Tensor]:
        """Compute the loss per image; see `Objective`. The log gets the ratio, too, as `share`."""
        ratio = ratio_at(self.curriculum, step)
        drawn, noise = draw_for_batch(lambda num: self.draw(networks, num), x0)
        t, factors = drawn.to(x0).unbind(1)
        r = self.next_level(t, ratio)
        x = x0 + column(t) * noise
        # The network has no logarithm of the level 0, and its output there is not used.
        level = torch.where(r > 0, r, t)
        online, target = consistency_pair(
            networks, x, t, level, labels, lambda: EulerStep()(lambda x, sigma: x0, x, t, level)
        )
        distance = self.distance(online, torch.where(column(r > 0), target, x0))
        return dict(
            loss=factors * self.weights(t, r) * distance,
            sigma=t,
            distance=distance.detach(),
            share=torch.tensor(ratio, dtype=torch.float32, device='cpu'),
        )
