"""Accuracy of a classifier on generated images, measured against the requested labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmcm.evaluation.metrics.feature_metric import FeatureMetric
from mmcm.registry import METRICS
from mmcm.utils.errors import InputError


@METRICS.register_module()
class LabelAccuracy(FeatureMetric):
    """Fraction of the images that a classifier assigns to their `gt_label`, in [0, 1].

    Args:
        extractor (dict, optional): Config of the classifier; None if the predictions have a `pred_label` already.
        prefix (str, optional): Prefix of the metric's name.

    Raises:
        InputError: If the images have no labels, or labels unknown to the classifier, or it has no logits.
    """

    default_prefix = 'label'

    def __init__(self, extractor: dict | None = None, prefix: str | None = None) -> None:
        super().__init__(extractor, prefix=prefix)

    def measure(self, data_samples: Sequence[dict[str, Any]]) -> np.ndarray:
        """Return whether each image is classified as its label, (N,)."""
        if any('gt_label' not in sample for sample in data_samples):
            raise InputError('LabelAccuracy needs images with a gt_label: sample by labels, or leave it out.')
        labels = np.array([int(sample['gt_label']['label']) for sample in data_samples])
        if self.extractor is not None:
            logits = self.extract_field(data_samples, 'logits')
            if labels.max() >= logits.shape[1]:
                raise InputError(
                    f'{self.extractor.kind} knows the labels 0 to {logits.shape[1] - 1}, and an image has '
                    f'label {labels.max()}.'
                )
            return logits.argmax(1) == labels
        if any('pred_label' not in sample for sample in data_samples):
            raise InputError('LabelAccuracy needs an extractor, a classifier, or predictions with a pred_label.')
        return np.array([int(sample['pred_label']) for sample in data_samples]) == labels

    def empty(self) -> 'Accuracy':
        """Return the accuracy of no images."""
        return Accuracy()

    def count(self, state: 'Accuracy', values: np.ndarray, positions: np.ndarray) -> None:
        """Add images that were classified right or wrong."""
        state.right += int(values.sum())
        state.number += len(values)

    def compute_metrics(self, state: 'Accuracy') -> dict[str, float]:
        """Return the fraction of the images that were classified as requested."""
        return dict(accuracy=state.right / state.number)


class Accuracy:
    """Number of images, and number of those that are right."""

    def __init__(self) -> None:
        self.right = self.number = 0

    def merge(self, other: 'Accuracy') -> None:
        """Add the numbers of another process."""
        self.right += other.right
        self.number += other.number
