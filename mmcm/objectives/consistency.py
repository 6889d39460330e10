"""Discrete consistency objectives (Song et al., 2023, arXiv 2303.01469)."""

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from mmcm.curricula.base import Curriculum, scales_at
from mmcm.noise.global_batch import draw_for_batch
from mmcm.noise.schedules import RHO, SIGMA_MAX, SIGMA_MIN, check_range, karras_sigmas
from mmcm.objectives.base import Networks, Objective
from mmcm.objectives.solvers import Denoise, column
from mmcm.registry import CURRICULA, DISTANCES, INDEX_DISTRIBUTIONS, SOLVERS, WEIGHTINGS
from mmcm.utils.random_state import get_random_state, set_random_state


class Consistency(Objective):
    """Equal outputs at both ends of a step on the probability flow ODE: weight d(f(x_n, s_n), f^-(x_n+1, s_n+1)).

    The levels descend, as in the released code: s_0 is sigma_max, and s_n+1 the next smaller one.

    Args:
        curriculum (dict): Number of scales N and decay of the target network, by the training step.
        distance (dict): d(a, b).
        solver (dict): How to get from s_n to s_n+1.
        levels (dict, optional): Index distribution, that of n; UniformIndices if None.
        weighting (dict, optional): Weight of each s_n; UniformWeighting if None.
        sigma_min (float): Smallest noise level, in the units of the data.
        sigma_max (float): Largest noise level.
        rho (float): How strongly the levels crowd near `sigma_min`.
    """

    needs_target = True

    def __init__(
        self,
        curriculum: dict,
        distance: dict,
        solver: dict,
        levels: dict | None = None,
        weighting: dict | None = None,
        sigma_min: float = SIGMA_MIN,
        sigma_max: float = SIGMA_MAX,
        rho: float = RHO,
    ) -> None:
        super().__init__()
        check_range(sigma_min, sigma_max, rho)
        self.curriculum: Curriculum = CURRICULA.build(curriculum)
        self.distance = DISTANCES.build(distance)
        self.solver = SOLVERS.build(solver)
        self.levels = INDEX_DISTRIBUTIONS.build(levels or dict(type='UniformIndices'))
        self.weighting = WEIGHTINGS.build(weighting or dict(type='UniformWeighting'))
        self.sigma_min = sigma_min
        self.sigma_max = sigma_max
        self.rho = rho

    @abstractmethod
    def solver_denoiser(self, networks: Networks, x0: Tensor, labels: Tensor | None) -> Denoise:
        """Return the denoiser that the solver steps with, a function of x (N, C, H, W) and sigma (N,)."""

    def weights(self, sigma: Tensor, next_sigma: Tensor) -> Tensor:
        """Return the weight of each interval from `sigma` (N,) to `next_sigma` (N,): (N,)."""
        return self.weighting(sigma)

    def target_decay(self, step: int) -> float:
        """Return the decay of the target network in `step`: the share of its old weights that it keeps."""
        return scales_at(self.curriculum, step)[1]

    def forward(self, networks: Networks, x0: Tensor, labels: Tensor | None, step: int) -> dict[str, Tensor]:
        """Compute the loss per image; see `Objective`. The log also gets the curriculum's numbers."""
        num_scales, target_decay = scales_at(self.curriculum, step)
        sigmas = karras_sigmas(num_scales, self.sigma_min, self.sigma_max, self.rho)
        index, noise = draw_for_batch(lambda num: self.levels(sigmas, num), x0)
        sigma, next_sigma = sigmas[index].to(x0), sigmas[index + 1].to(x0)

        x = x0 + column(sigma) * noise
        online, target = consistency_pair(
            networks,
            x,
            sigma,
            next_sigma,
            labels,
            lambda: self.solver(self.solver_denoiser(networks, x0, labels), x, sigma, next_sigma),
        )
        distance = self.distance(online, target)
        return dict(
            loss=self.weights(sigma, next_sigma) * distance,
            sigma=sigma,
            distance=distance.detach(),
            num_scales=torch.tensor(float(num_scales), dtype=torch.float32, device='cpu'),
            target_decay=torch.tensor(target_decay, dtype=torch.float32, device='cpu'),
        )


def consistency_pair(
    networks: Networks,
    x: Tensor,
    sigma: Tensor,
    next_sigma: Tensor,
    labels: Tensor | None,
    take_step: Callable[[], Tensor],
) -> tuple[Tensor, Tensor]:
    """Return f(x, sigma) and, without gradients, f^-(next x, next sigma), both with the same dropout mask.

    Else the loss would measure dropout, not consistency. Where there is no target network, f^- is the online one.

    Args:
        networks (Networks): The denoisers.
        x (Tensor): Noisy images, (N, C, H, W).
        sigma (Tensor): Their noise levels, (N,).
        next_sigma (Tensor): The smaller levels that the step leads to, (N,).
        labels (Tensor, optional): Classes, (N,).
        take_step (Callable): Returns the images at `next_sigma`, (N, C, H, W).
    """
    random_state = get_random_state(x.device)
    # The target first, before the activations of the online network occupy memory.
    with torch.no_grad():
        next_x = take_step()
        set_random_state(random_state, x.device)
        network = networks.online if networks.target is None else networks.target
        target = network(next_x, next_sigma, labels)
    # Older versions of autocast would take the weights that they cast without gradients for the next pass, too.
    torch.clear_autocast_cache()
    set_random_state(random_state, x.device)
    return networks.online(x, sigma, labels), target
