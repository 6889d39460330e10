"""MeanFlow (Geng et al., 2025, arXiv 2505.13447, Algorithm 1)."""

from collections.abc import Sequence

from torch import Tensor

from mmcm.objectives.base import Networks
from mmcm.objectives.flow_map import Batch, FlowMapObjective, GuidedTarget, along, evaluated, null_label_of, squared
from mmcm.objectives.solvers import column
from mmcm.registry import OBJECTIVES, TANGENTS


@OBJECTIVES.register_module()
class MeanFlow(FlowMapObjective):
    """The MeanFlow identity u = v - (t - r) du/dt as a regression, from data alone.

        loss = weight |u(z_t, t, r) - sg(v - (t - r) (v dz u + dt u))|^2

    The derivative is the one along the trajectory: its direction is (v, 1) in z and t, with r fixed. For r = t this is
    flow matching. The sum of squares is over all values of an image, and the weight 1 / (sum + c)^p.

    Args:
        times (dict, optional): Distribution of t and r; `LogitNormalTimes`, the paper's for ImageNet, if None.
        power (float): p; 1 in the paper for ImageNet, 0.75 for CIFAR-10.
        offset (float): c.
        guidance (float): w of `GuidedTarget`, for class-conditional networks; 1 is no guidance.
        mixture (float): k of `GuidedTarget`.
        guidance_interval (Sequence[float]): Smallest and largest t with guidance.
        tangent (dict, optional): How the derivative is computed; ForwardModeTangent if None.
    """

    def __init__(
        self,
        times: dict | None = None,
        power: float = 1.0,
        offset: float = 1e-3,
        guidance: float = 1.0,
        mixture: float = 0.0,
        guidance_interval: Sequence[float] = (0.0, 1.0),
        tangent: dict | None = None,
    ) -> None:
        super().__init__(times or dict(type='LogitNormalTimes'), power, offset)
        self.guided = GuidedTarget(guidance, mixture, guidance_interval)
        self.tangent = TANGENTS.build(tangent or dict(type='ForwardModeTangent'))

    def losses(self, networks: Networks, batch: Batch, step: int) -> dict[str, Tensor]:
        """Return the loss per image; the log also gets the error before its weight, and the size of du/dt."""
        network = evaluated(networks.online)
        z, t, r, _, labels, *_ = batch
        velocity = self.guided(network, null_label_of(networks.online), batch)

        def mean_velocity(z: Tensor, t: Tensor) -> Tensor:
            return network(z, t, r, labels)[0]

        slope = along(self.tangent, mean_velocity, z, t, velocity)
        target = velocity - column(t - r) * slope
        error = squared(mean_velocity(z, t) - target)
        return dict(loss=self.weighted(error), error=error.detach(), slope=squared(slope).sqrt())
