"""Solution flow models, SoFlow (Luo et al., 2025, arXiv 2512.15657)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmcm.curricula.base import Curriculum, ratio_at
from mmcm.objectives.base import Networks
from mmcm.objectives.flow_map import Batch, FlowMapObjective, GuidedTarget, evaluated, null_label_of, squared
from mmcm.objectives.solvers import column
from mmcm.registry import CURRICULA, OBJECTIVES


@OBJECTIVES.register_module()
class SolutionFlow(FlowMapObjective):
    """Flow matching, and equal ends of a trajectory from both ends of a small step: no derivative of the network.

    With the solution f(z_t, t, s) = z_t - (t - s) u(z_t, t, s), the loss of an image with D values is, for s < t,

        weight ratio / 2 / D |(f(z_t, t, s) - sg f(z_t - (t - l) v, l, s)) / (t - l)|^2

    with l = t - ratio (t - s), and for s = t weight / D |u(z_t, t, t) - v|^2. The weight is 1 / (mean square + c)^p.
    The factor ratio / 2, that of the authors' program, makes the gradient in u independent of the ratio: it is the
    weight times the quotient, half of MeanFlow's in the limit. The path is linear, and f is the paper's Euler
    parametrisation.

    Args:
        curriculum (dict): The ratio, by the training step; AnnealingCurriculum.
        times (dict, optional): Distribution of t and s; `LogitNormalTimes` if None.
        power (float): p.
        offset (float): c.
        guidance (float): w of `GuidedTarget`, for class-conditional networks; 1 is no guidance.
        mixture (float): k of `GuidedTarget`.
        guidance_interval (Sequence[float]): Smallest and largest t with guidance.
    """

    def __init__(
        self,
        curriculum: dict,
        times: dict | None = None,
        power: float = 1.0,
        offset: float = 0.01,
        guidance: float = 1.0,
        mixture: float = 0.0,
        guidance_interval: Sequence[float] = (0.0, 1.0),
    ) -> None:
        super().__init__(times or dict(type='LogitNormalTimes'), power, offset)
        self.curriculum: Curriculum = CURRICULA.build(curriculum)
        self.guided = GuidedTarget(guidance, mixture, guidance_interval)

    def losses(self, networks: Networks, batch: Batch, step: int) -> dict[str, Tensor]:
        """Return the loss per image; the log also gets the error before its weight, and the ratio."""
        network = evaluated(networks.online)
        z, t, s, _, labels, *_ = batch
        ratio = ratio_at(self.curriculum, step)
        velocity = self.guided(network, null_label_of(networks.online), batch)
        level = t - ratio * (t - s)
        with torch.no_grad():
            next_z = z - column(t - level) * velocity
            target = next_z - column(level - s) * network(next_z, level, s, labels)[0]
        # Older versions of autocast would take the weights that they cast without gradients for the next pass, too.
        torch.clear_autocast_cache()
        u = network(z, t, s, labels)[0]
        steps = level < t  # else s = t, or the step rounds to none
        length = torch.where(steps, t - level, 1)
        quotient = (z - column(t - s) * u - target) / column(length)
        error = squared(torch.where(column(steps), quotient, u - velocity)) / u[0].numel()
        return dict(
            loss=torch.where(steps, ratio / 2, 1) * self.weighted(error),
            error=error.detach(),
            ratio=torch.tensor(ratio, dtype=torch.float32, device='cpu'),
        )
