"""Curricula: numbers of scales, decays and step sizes as pure functions of the training step k."""

from mmcm.curricula.base import Curriculum, Stage
from mmcm.curricula.fixed import FixedCurriculum
from mmcm.curricula.progressive import ProgressiveCurriculum
from mmcm.curricula.stages import DoublingCurriculum, HalvingCurriculum, ShrinkingCurriculum

__all__ = [
    'Curriculum',
    'DoublingCurriculum',
    'FixedCurriculum',
    'HalvingCurriculum',
    'ProgressiveCurriculum',
    'ShrinkingCurriculum',
    'Stage',
]
