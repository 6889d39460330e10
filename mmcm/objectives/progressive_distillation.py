"""Progressive distillation (Salimans & Ho, 2022, arXiv 2202.00512, Algorithm 2) in the terms of EDM.

As in the released code of Song et al. (2023), which has it as a baseline.
"""

import torch
from torch import Tensor

from mmcm.curricula.base import Curriculum, scales_at
from mmcm.noise.global_batch import draw_for_batch
from mmcm.noise.schedules import RHO, SIGMA_MAX, SIGMA_MIN, check_range, karras_sigma
from mmcm.objectives.base import Networks, Objective
from mmcm.objectives.solvers import EulerStep, column
from mmcm.registry import CURRICULA, DISTANCES, OBJECTIVES, WEIGHTINGS


@OBJECTIVES.register_module()
class ProgressiveDistillation(Objective):
    """Teach the network to do in one Euler step what its teacher does in two.

    With N steps from sigma_max to sigma_min, the interval n goes from s_n over s_n+1/2 to s_n+1. At the beginning of a
    stage, N is halved and the network becomes its own teacher.

    Args:
        curriculum (dict): Number of steps N, by the training step.
        distance (dict): d(a, b), between the network's denoised image and the one whose Euler step leads to where the
            teacher's two steps lead.
        weighting (dict, optional): Weight of each s_n; TruncatedSNRWeighting, the paper's, if None.
        sigma_min (float): Smallest noise level, in the units of the data.
        sigma_max (float): Largest noise level.
        rho (float): How strongly the levels crowd near `sigma_min`.
    """

    needs_teacher = True
    needs_same_teacher = True

    def __init__(
        self,
        curriculum: dict,
        distance: dict,
        weighting: dict | None = None,
        sigma_min: float = SIGMA_MIN,
        sigma_max: float = SIGMA_MAX,
        rho: float = RHO,
    ) -> None:
        super().__init__()
        check_range(sigma_min, sigma_max, rho)
        self.curriculum: Curriculum = CURRICULA.build(curriculum)
        self.distance = DISTANCES.build(distance)
        self.weighting = WEIGHTINGS.build(weighting or dict(type='TruncatedSNRWeighting'))
        self.solver = EulerStep()
        self.range = (sigma_min, sigma_max, rho)

    def renews_teacher(self, step: int) -> bool:
        """Return whether a stage begins with `step`."""
        return step > 0 and self.curriculum(step) != self.curriculum(step - 1)

    def has_renewed_teacher(self, step: int) -> bool:
        """Return whether a stage has begun after the first one; the number of steps only falls."""
        return self.curriculum(step) != self.curriculum(0)

    def forward(self, networks: Networks, x0: Tensor, labels: Tensor | None, step: int) -> dict[str, Tensor]:
        """Compute the loss per image; see `Objective`. The log also gets the number of steps."""
        num_steps = scales_at(self.curriculum, step)[0]
        index, noise = draw_for_batch(lambda num: torch.randint(num_steps, (num,), device='cpu'), x0)
        sigma, mid_sigma, next_sigma = (
            karras_sigma((index.double() + part) / num_steps, *self.range).to(x0) for part in (0, 0.5, 1)
        )

        x = x0 + column(sigma) * noise
        denoise = networks.teacher_with(labels)
        with torch.no_grad():
            mid_x = self.solver(denoise, x, sigma, mid_sigma)
            next_x = self.solver(denoise, mid_x, mid_sigma, next_sigma)
            slope = (next_x - x) / column(next_sigma - sigma)
            target = x - column(sigma) * slope
        distance = self.distance(networks.online(x, sigma, labels), target)
        return dict(
            loss=self.weighting(sigma) * distance,
            sigma=sigma,
            distance=distance.detach(),
            num_steps=torch.tensor(float(num_steps), dtype=torch.float32, device='cpu'),
        )
