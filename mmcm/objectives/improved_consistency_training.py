"""Improved consistency training (Song & Dhariwal, 2023, arXiv 2310.14189)."""

from torch import Tensor

from mmcm.objectives.consistency_training import ConsistencyTraining
from mmcm.registry import OBJECTIVES


@OBJECTIVES.register_module()
class ImprovedConsistencyTraining(ConsistencyTraining):
    """Consistency training without an average in the loss, and with better choices for all of its parts.

    The target is the trained network's own output, without gradients; the interval from s_n to s_n+1 has the weight
    1 / (s_n - s_n+1).

    Args:
        curriculum (dict): Number of scales N by the training step; DoublingCurriculum in the paper.
        distance (dict, optional): PseudoHuber with the paper's c if None.
        levels (dict, optional): Index distribution; LognormalIndices with the paper's mean and deviation if None.
        **kwargs: See `Consistency`; a `weighting` multiplies the weight above.
    """

    needs_target = False

    def __init__(self, curriculum: dict, distance: dict | None = None, levels: dict | None = None, **kwargs) -> None:
        super().__init__(
            curriculum, distance or dict(type='PseudoHuber'), levels=levels or dict(type='LognormalIndices'), **kwargs
        )

    def weights(self, sigma: Tensor, next_sigma: Tensor) -> Tensor:
        """Return the weight of each interval from `sigma` (N,) to `next_sigma` (N,): (N,)."""
        return self.weighting(sigma) / (sigma - next_sigma)
