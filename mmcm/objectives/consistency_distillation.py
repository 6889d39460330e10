"""Consistency distillation (Song et al., 2023, arXiv 2303.01469, Algorithm 2)."""

from torch import Tensor

from mmcm.objectives.base import Networks
from mmcm.objectives.consistency import Consistency
from mmcm.objectives.solvers import Denoise
from mmcm.registry import OBJECTIVES


@OBJECTIVES.register_module()
class ConsistencyDistillation(Consistency):
    """Distil a diffusion model: the solver steps from x_n to x_n+1 with the teacher as the denoiser.

    Arguments: see `Consistency`; `solver` is HeunStep if None.
    """

    needs_teacher = True

    def __init__(self, curriculum: dict, distance: dict, solver: dict | None = None, **kwargs) -> None:
        super().__init__(curriculum, distance, solver=solver or dict(type='HeunStep'), **kwargs)

    def solver_denoiser(self, networks: Networks, x0: Tensor, labels: Tensor | None) -> Denoise:
        """Return the teacher, given the labels."""
        return networks.teacher_with(labels)
