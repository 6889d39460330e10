"""Metrics that compare the drawn with the real images one by one."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmcm.evaluation.metrics.feature_metric import ExtractingMetric
from mmcm.evaluation.metrics.feature_table import FeatureTable
from mmcm.evaluation.reference import shared_reference


class ComparingMetric(ExtractingMetric):
    """A metric that needs the features of all images, in the order of their `sample_idx`; it keeps them in float32.

    Args:
        extractor (dict): Config of the feature extractor.
        reference (dict | str): The real images, see `Reference`.
        num_real (int, optional): How many of them, evenly spread over the data set; all if not given.
        prefix (str, optional): Prefix of the metric's name.
    """

    least = 2
    part = 'table'

    def __init__(self, extractor: dict, reference: dict | str, num_real: int | None, prefix: str | None) -> None:
        super().__init__(extractor, shared_reference(reference, extractor, num_real), prefix)
        self.reference.want('table')

    def measure(self, data_samples: Sequence[dict[str, Any]]) -> np.ndarray:
        """Return the features of each image, (N, D)."""
        features = self.extract_field(data_samples, 'features')
        self.reference.check('table', features.shape[1])
        return features

    def empty(self) -> FeatureTable:
        """Return a table without images."""
        return FeatureTable()

    def count(self, state: FeatureTable, values: np.ndarray, positions: np.ndarray) -> None:
        """Add features (N, D)."""
        state.update(values, positions)
