"""Networks whose features images are judged by."""
from mmcm.evaluation.features.digits_classifier import DigitsClassifier

__all__ = ['DigitsClassifier']
