"""Consistency training (Song et al., 2023, arXiv 2303.01469, Algorithm 3)."""

from torch import Tensor

from mmcm.objectives.base import Networks
from mmcm.objectives.consistency import Consistency
from mmcm.objectives.solvers import Denoise
from mmcm.registry import OBJECTIVES


@OBJECTIVES.register_module()
class ConsistencyTraining(Consistency):
    """Learn a consistency model from data alone: x_n+1 = x0 + s_n+1 z, with the noise z of x_n = x0 + s_n z.

    That is Euler's step with the clean image itself as the denoised one. Arguments: see `Consistency`.
    """

    def __init__(self, curriculum: dict, distance: dict, **kwargs) -> None:
        super().__init__(curriculum, distance, solver=dict(type='EulerStep'), **kwargs)

    def solver_denoiser(self, networks: Networks, x0: Tensor, labels: Tensor | None) -> Denoise:
        """Return a function that returns the clean image, whatever x and sigma are."""
        return lambda x, sigma: x0
