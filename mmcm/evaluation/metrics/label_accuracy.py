"""How often an image reads as the label that was asked for."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmcm.evaluation.metrics.feature_metric import ExtractingMetric
from mmcm.registry import METRICS
from mmcm.utils.errors import InputError


@METRICS.register_module()
class LabelAccuracy(ExtractingMetric):
    """Share of the images that a classifier reads as their `gt_label`, in [0, 1].

    Args:
        extractor (dict, optional): Config of the classifier; None where the predictions carry a `pred_label` already.
        prefix (str, optional): Prefix of the metric's name.

    Raises:
        InputError: If the images have no labels, or ones that the classifier does not know, or it makes no logits.
    """

    default_prefix = 'label'

    def __init__(self, extractor: dict | None = None, prefix: str | None = None) -> None:
        super().__init__(extractor, prefix=prefix)

    def measure(self, data_samples: Sequence[dict[str, Any]]) -> np.ndarray:
        """Return whether each image reads as it should, (N,)."""
        if any('gt_label' not in sample for sample in data_samples):
            raise InputError('LabelAccuracy needs images with a gt_label: draw by labels, or leave it out.')
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

    def empty(self) -> 'Share':
        """Return the share of no images."""
        return Share()

    def count(self, state: 'Share', values: np.ndarray, positions: np.ndarray) -> None:
        """Add images that were read right or wrong."""
        state.right += int(values.sum())
        state.number += len(values)

    def compute_metrics(self, state: 'Share') -> dict[str, float]:
        """Return the share of the images that were read as asked for."""
        return dict(accuracy=state.right / state.number)


class Share:
    """How many images there are, and how many are right."""

    def __init__(self) -> None:
        self.right = self.number = 0

    def merge(self, other: 'Share') -> None:
        """Add those of another process."""
        self.right += other.right
        self.number += other.number
