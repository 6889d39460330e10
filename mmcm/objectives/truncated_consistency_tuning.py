"""Truncated consistency models (Lee et al., 2024, arXiv 2410.14895)."""

import torch
from torch import Tensor

from mmcm.denoisers.augmented import inner_denoiser
from mmcm.denoisers.truncated import TruncatedDenoiser
from mmcm.objectives.base import Networks
from mmcm.objectives.easy_consistency_tuning import EasyConsistencyTuning
from mmcm.registry import OBJECTIVES
from mmcm.utils.checks import check_number
from mmcm.utils.errors import InputError


@OBJECTIVES.register_module()
class TruncatedConsistencyTuning(EasyConsistencyTuning):
    """The second stage: consistency above the transition time t', where the first stage is the boundary condition.

    A step of easy consistency tuning from t to r, whose target is the trained network where r >= t', and else the
    frozen network of the first stage (see `TruncatedDenoiser`). A share of the batch starts at t = t', so that its
    targets are those of the frozen network. The loss is the mean of the others plus `boundary_weight` times the
    mean of these.

    Args:
        curriculum (dict): See `EasyConsistencyTuning`.
        levels (dict, optional): Sigma distribution of t, from t' on; TruncatedLogStudentLevels, the paper's, if None.
        boundary_share (float): Share of the images that start at t', in [0, 1); the number is rounded down.
        boundary_weight (float): Weight of their mean.
        **kwargs: See `EasyConsistencyTuning`.

    Raises:
        InputError: If a number is out of its range, or in training, if the denoiser is no `TruncatedDenoiser`, or a
            level lies below its transition.
    """

    def __init__(
        self,
        curriculum: dict,
        levels: dict | None = None,
        boundary_share: float = 0.25,
        boundary_weight: float = 0.1,
        **kwargs,
    ) -> None:
        super().__init__(curriculum, levels=levels or dict(type='TruncatedLogStudentLevels'), **kwargs)
        for name, value in (('boundary_share', boundary_share), ('boundary_weight', boundary_weight)):
            check_number(name, value)
        if not (0 <= boundary_share < 1 and boundary_weight >= 0):
            raise InputError(
                'boundary_share has to be in [0, 1) and boundary_weight at least 0, got '
                f'{boundary_share} and {boundary_weight}.'
            )
        self.boundary_share = boundary_share
        self.boundary_weight = boundary_weight

    def draw(self, networks: Networks, num: int) -> Tensor:
        """Return t and the factor of the loss, whose mean is the sum of both means, for `num` images: (num, 2)."""
        transition = transition_of(networks)
        t = self.levels(num)
        if t.min() < transition:
            raise InputError(
                f'a noise level of {t.min():.4g} lies below the transition {transition}, where nothing is trained: set '
                'model.objective.levels.sigma_min to model.denoiser.transition.'
            )
        count = int(num * self.boundary_share)
        factors = torch.full_like(t, num / (num - count))
        if count:
            chosen = torch.randperm(num, device='cpu')[:count]
            t[chosen] = transition
            factors[chosen] = self.boundary_weight * num / count
        return torch.stack([t, factors], dim=1)


def transition_of(networks: Networks) -> float:
    """Return the transition time of the trained denoiser; an InputError if it has none."""
    denoiser = inner_denoiser(networks.online)
    if not isinstance(denoiser, TruncatedDenoiser):
        raise InputError(
            f'TruncatedConsistencyTuning trains a TruncatedDenoiser, got a {type(denoiser).__name__}: set '
            "model.denoiser.type='TruncatedDenoiser'."
        )
    return denoiser.transition
