"""Curricula: the number of scales N(k) and the target's decay mu(k), pure functions of the training step k."""
from mmcm.curricula.fixed import FixedCurriculum
from mmcm.curricula.progressive import ProgressiveCurriculum

__all__ = ['FixedCurriculum', 'ProgressiveCurriculum']
