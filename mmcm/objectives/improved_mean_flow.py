"""Improved MeanFlow, iMF (Geng et al., 2025, arXiv 2512.02012)."""

import torch
from torch import Tensor

from mmcm.denoisers.augmented import inner_denoiser
from mmcm.denoisers.flow_map import GuidanceInputs
from mmcm.objectives.base import Networks
from mmcm.objectives.flow_map import Batch, FlowMapObjective, along, evaluated, null_label_of, null_labels, squared
from mmcm.objectives.solvers import column
from mmcm.registry import OBJECTIVES, TANGENTS
from mmcm.utils.checks import check_number
from mmcm.utils.errors import InputError


@OBJECTIVES.register_module()
class ImprovedMeanFlow(FlowMapObjective):
    """Regression of V = u + (t - r) sg(du/dt) on the velocity v, whose target does not depend on the network.

    The derivative is along the network's own velocity at t, not along v, which the network cannot know from z_t
    (Section 4.1). That velocity comes from the velocity head, which has the same loss, or else is u(z_t, t, t).

    A guided `FlowMapDenoiser` draws a scale w and an interval of times for each image and takes them as inputs (Section
    4.2). The target then is v + (1 - 1 / w) (v_c - v_u), with the network's own velocities for the label, given w, and
    for the null class; w is 1 outside the interval, and for images whose label was dropped the target is v.

    Args:
        times (dict, optional): Distribution of t and r; `LogitNormalTimes` with a ratio of 0.5, that of the authors'
            program, if None.
        power (float): p of the adaptive weight.
        offset (float): c of the adaptive weight.
        max_guidance (float): Largest w - 1 of a guided network.
        guidance_power (float): b; the density of w is in proportion to w^-b. 1 makes log w uniform.
        tangent (dict, optional): How the derivative is computed; ForwardModeTangent if None.
    """

    def __init__(
        self,
        times: dict | None = None,
        power: float = 1.0,
        offset: float = 0.01,
        max_guidance: float = 7.0,
        guidance_power: float = 1.0,
        tangent: dict | None = None,
    ) -> None:
        super().__init__(times or dict(type='LogitNormalTimes', ratio=0.5), power, offset)
        check_number('guidance_power', guidance_power)
        check_number('max_guidance', max_guidance)
        if not max_guidance >= 0:
            raise InputError(f'max_guidance is the largest w - 1, 0 or more, got {max_guidance}.')
        self.max_guidance = max_guidance
        self.guidance_power = guidance_power
        self.tangent = TANGENTS.build(tangent or dict(type='ForwardModeTangent'))

    def draw(self, num: int) -> Tensor:
        """Return t, r, and uniform numbers for scale and interval of guidance: (num, 5)."""
        return torch.cat([self.times(num), torch.rand(num, 3, dtype=torch.float32, device='cpu')], dim=1)

    def scales(self, uniform: Tensor) -> Tensor:
        """Return w in [1, 1 + max_guidance] for uniform numbers in [0, 1], any shape."""
        log_largest = torch.tensor(self.max_guidance, dtype=uniform.dtype, device=uniform.device).log1p()
        if self.guidance_power == 1:
            return (uniform * log_largest).exp()
        rest = 1 - self.guidance_power
        return ((uniform * (rest * log_largest).expm1()).log1p() / rest).exp()

    def losses(self, networks: Networks, batch: Batch, step: int) -> dict[str, Tensor]:
        """Return the loss per image; the log also gets the errors of both parts before their weights."""
        return self.velocity_losses(networks, batch)[0]

    def velocity_losses(self, networks: Networks, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """Return the loss per image with what the log gets, and u(z_t, t, r), (N, C, H, W), with gradients."""
        network = evaluated(networks.online)
        z, t, r, _, labels, *_ = batch
        inputs = self.guidance_of(batch) if inner_denoiser(networks.online).guided else None

        def velocity_at(labels: Tensor | None, guidance: GuidanceInputs | None) -> Tensor:
            u, v = network(z, t, t, labels, guidance)
            return u if v is None else v

        with torch.no_grad():
            target = batch.velocity
            if inputs is None:
                direction = velocity_at(labels, None)
            else:
                null = null_labels(labels, null_label_of(networks.online), 'a guided flow map')
                assert labels is not None
                anywhere = (torch.zeros_like(t), torch.ones_like(t))
                scale = torch.where((t >= inputs.low) & (t <= inputs.high), inputs.scale, 1)
                direction = velocity_at(labels, GuidanceInputs(scale, *anywhere))
                unconditional = velocity_at(null, GuidanceInputs(torch.ones_like(t), *anywhere))
                change = column(1 - 1 / scale) * (direction - unconditional)
                target = target + torch.where(column(labels != null), change, 0)

        def mean_velocity(z: Tensor, t: Tensor) -> Tensor:
            return network(z, t, r, labels, inputs)[0]

        slope = along(self.tangent, mean_velocity, z, t, direction)
        u, v = network(z, t, r, labels, inputs)
        error = squared(u + column(t - r) * slope - target)
        log = dict(loss=self.weighted(error), error=error.detach(), slope=squared(slope).sqrt())
        if v is not None:
            head_error = squared(v - target)
            log.update(loss=log['loss'] + self.weighted(head_error), head_error=head_error.detach())
        return log, u

    def guidance_of(self, batch: Batch) -> GuidanceInputs:
        """Return scale and interval of guidance of each image; with r = t the interval is that of all times."""
        scale, low, high = batch.more.unbind(1)
        steps = batch.r < batch.t
        return GuidanceInputs(self.scales(scale), torch.where(steps, low / 2, 0), torch.where(steps, 0.5 + high / 2, 1))
