"""What consistency distillation and consistency training share (Song et al., 2023, arXiv 2303.01469)."""
from abc import abstractmethod
from typing import Callable, Optional

import torch
from torch import Tensor

from mmcm.noise.schedules import RHO, SIGMA_MAX, SIGMA_MIN, check_range, karras_sigmas
from mmcm.objectives.base import Networks, Objective
from mmcm.objectives.solvers import column
from mmcm.registry import CURRICULA, DISTANCES, LEVELS, SOLVERS, WEIGHTINGS
from mmcm.utils.random_state import get_random_state, set_random_state


class Consistency(Objective):
    """Equal outputs at both ends of a step on the probability flow ODE: weight d(f(x_n, s_n), f^-(x_n+1, s_n+1)).

    The levels descend, as in the released code: s_0 is sigma_max, and s_n+1 the next smaller one.

    Args:
        curriculum (dict): Number of scales N and decay of the target network, by the training step.
        distance (dict): d(a, b).
        solver (dict): How to get from s_n to s_n+1.
        levels (dict, optional): Distribution of the index n; UniformIndices if None.
        weighting (dict, optional): Weight of each s_n; UniformWeighting if None.
        sigma_min (float): Smallest noise level, in the units of the data.
        sigma_max (float): Largest noise level.
        rho (float): How strongly the levels crowd near `sigma_min`.
    """

    needs_target = True

    def __init__(self,
                 curriculum: dict,
                 distance: dict,
                 solver: dict,
                 levels: Optional[dict] = None,
                 weighting: Optional[dict] = None,
                 sigma_min: float = SIGMA_MIN,
                 sigma_max: float = SIGMA_MAX,
                 rho: float = RHO) -> None:
        check_range(sigma_min, sigma_max, rho)
        self.curriculum = CURRICULA.build(curriculum)
        self.distance = DISTANCES.build(distance)
        self.solver = SOLVERS.build(solver)
        self.levels = LEVELS.build(levels or dict(type='UniformIndices'))
        self.weighting = WEIGHTINGS.build(weighting or dict(type='UniformWeighting'))
        self.sigma_min = sigma_min
        self.sigma_max = sigma_max
        self.rho = rho

    @abstractmethod
    def estimate(self, networks: Networks, x0: Tensor, labels: Optional[Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        """Return what the solver takes for the clean image: a function of x (N, C, H, W) and sigma (N,)."""

    def target_decay(self, step: int) -> float:
        """Return the share of its old weights that the target network keeps in `step`."""
        return self.curriculum(step)[1]

    def __call__(self, networks: Networks, x0: Tensor, labels: Optional[Tensor], step: int) -> dict[str, Tensor]:
        """Compute the loss per image; see `Objective`. The log also gets the curriculum's numbers."""
        num_scales, target_decay = self.curriculum(step)
        sigmas = karras_sigmas(num_scales, self.sigma_min, self.sigma_max, self.rho)
        index = self.levels(sigmas, len(x0))
        sigma, next_sigma = sigmas[index].to(x0), sigmas[index + 1].to(x0)

        x = x0 + column(sigma) * torch.randn_like(x0)
        # The target sees the dropout mask of the online network: the loss shall measure consistency, not dropout.
        random_state = get_random_state(x.device)
        online = networks.online(x, sigma, labels)
        with torch.no_grad():
            next_x = self.solver(self.estimate(networks, x0, labels), x, sigma, next_sigma)
            set_random_state(random_state, x.device)
            goal = networks.target(next_x, next_sigma, labels)
        return dict(
            loss=self.weighting(sigma) * self.distance(online, goal),
            num_scales=torch.tensor(float(num_scales)),
            target_decay=torch.tensor(target_decay))
