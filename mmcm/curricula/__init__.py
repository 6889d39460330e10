"""Curricula: numbers of scales, decays and step sizes as pure functions of the training step k."""

from mmcm.curricula.annealing import AnnealingCurriculum
from mmcm.curricula.base import Curriculum, Stage
from mmcm.curricula.fixed import FixedCurriculum
from mmcm.curricula.progressive import ProgressiveCurriculum
from mmcm.curricula.stages import DoublingCurriculum, HalvingCurriculum, ShrinkingCurriculum

__all__ = [
    'AnnealingCurriculum',
    'Curriculum',
    'DoublingCurriculum',
    'FixedCurriculum',
    'HalvingCurriculum',
    'ProgressiveCurriculum',
    'ShrinkingCurriculum',
    'Stage',
]
