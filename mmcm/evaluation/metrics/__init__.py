"""Metrics, for MMEngine's evaluator."""

from mmcm.evaluation.metrics.frechet_distance import FrechetDistance
from mmcm.evaluation.metrics.inception_score import InceptionScore
from mmcm.evaluation.metrics.kernel_distance import KernelDistance
from mmcm.evaluation.metrics.label_accuracy import LabelAccuracy
from mmcm.evaluation.metrics.precision_recall import PrecisionRecall
from mmcm.evaluation.metrics.sliced_wasserstein import SlicedWasserstein

__all__ = [
    'FrechetDistance',
    'InceptionScore',
    'KernelDistance',
    'LabelAccuracy',
    'PrecisionRecall',
    'SlicedWasserstein',
]
