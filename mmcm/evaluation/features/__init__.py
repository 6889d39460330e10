"""Feature extractors: networks in whose features metrics compare images."""

from mmcm.evaluation.features.base import FeatureExtractor, Features
from mmcm.evaluation.features.digits_classifier import DigitsClassifier
from mmcm.evaluation.features.inception_v3 import InceptionV3
from mmcm.evaluation.features.network_features import NetworkFeatures
from mmcm.evaluation.features.pixels import Pixels
from mmcm.evaluation.features.torch_script import TorchScriptFeatures

__all__ = [
    'DigitsClassifier',
    'FeatureExtractor',
    'Features',
    'InceptionV3',
    'NetworkFeatures',
    'Pixels',
    'TorchScriptFeatures',
]
