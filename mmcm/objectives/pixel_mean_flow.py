"""Pixel MeanFlow, pMF (Lu et al., 2026, arXiv 2601.22158): improved MeanFlow on images, which a network predicts."""

from torch import Tensor

from mmcm.denoisers.augmented import inner_denoiser
from mmcm.objectives.base import Networks
from mmcm.objectives.flow_map import Batch
from mmcm.objectives.improved_mean_flow import ImprovedMeanFlow
from mmcm.objectives.solvers import column
from mmcm.registry import DISTANCES, OBJECTIVES
from mmcm.utils.checks import check_number
from mmcm.utils.errors import InputError


@OBJECTIVES.register_module()
class PixelMeanFlow(ImprovedMeanFlow):
    """Improved MeanFlow of a `FlowMapDenoiser` with predictions 'x', and a perceptual distance of its images.

    V and its target v are as in `ImprovedMeanFlow`, with u = (z - x) / t and v = (z - x0) / t, in which t is 0.05 at
    least. The distance is between x0 and the image z - t u, weighted as the errors are, and of times below
    `distance_max_time` alone: above, the image is far from x0. The paper's second distance, of features of ConvNeXt,
    is not there.

    Args:
        times (dict, optional): Distribution of t and r; `LogitNormalTimes` with a ratio of 0.5 and equal times of the
            first draw, as in the authors' program, if None.
        power (float): p of the adaptive weight.
        offset (float): c of the adaptive weight.
        max_guidance (float): Largest w - 1 of a guided network.
        guidance_power (float): b; the density of w is in proportion to w^-b.
        tangent (dict, optional): How the derivative is computed; ForwardModeTangent if None.
        distance (dict, optional): Perceptual distance, such as LPIPS; None leaves it out.
        distance_weight (float): Factor of the distance, after its adaptive weight.
        distance_max_time (float): Times from this one on have no distance.
    """

    def __init__(
        self,
        times: dict | None = None,
        power: float = 1.0,
        offset: float = 0.01,
        max_guidance: float = 7.0,
        guidance_power: float = 1.0,
        tangent: dict | None = None,
        distance: dict | None = None,
        distance_weight: float = 0.4,
        distance_max_time: float = 0.8,
    ) -> None:
        times = times or dict(type='LogitNormalTimes', ratio=0.5, equal='first')
        super().__init__(times, power, offset, max_guidance, guidance_power, tangent)
        check_number('distance_weight', distance_weight)
        check_number('distance_max_time', distance_max_time)
        if not (distance_weight >= 0 and 0 <= distance_max_time <= 1):
            raise InputError(
                'distance_weight has to be 0 or more and distance_max_time within 0 and 1, got '
                f'{distance_weight} and {distance_max_time}.'
            )
        self.distance = None if distance is None else DISTANCES.build(distance)
        self.distance_weight = distance_weight
        self.distance_max_time = distance_max_time

    def losses(self, networks: Networks, batch: Batch, step: int) -> dict[str, Tensor]:
        """Return the loss per image; the log also gets errors and distance before their weights."""
        prediction = inner_denoiser(networks.online).prediction
        if prediction != 'x':
            raise InputError(
                f"PixelMeanFlow trains a network that returns images, got model.denoiser.prediction='{prediction}'. "
                "Set it to 'x', or take the objective ImprovedMeanFlow."
            )
        log, u = self.velocity_losses(networks, batch)
        if self.distance is not None:
            assert batch.x0 is not None
            counted = batch.t < self.distance_max_time
            distance = self.distance(batch.z - column(batch.t) * u, batch.x0) * counted
            log.update(loss=log['loss'] + self.distance_weight * self.weighted(distance), distance=distance.detach())
        return log
