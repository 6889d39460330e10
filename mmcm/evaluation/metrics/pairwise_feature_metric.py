"""Base of metrics that compare generated with real images one by one."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmcm.evaluation.metrics.feature_metric import FeatureMetric
from mmcm.evaluation.metrics.feature_table import FeatureTable
from mmcm.evaluation.reference import Reference, shared_reference
from mmcm.renamed import old_names

__getattr__ = old_names(__name__)


class PairwiseFeatureMetric(FeatureMetric):
    """A metric of the features of all images, in the order of their `sample_idx`, kept in float32.

    Args:
        extractor (dict): Config of the feature extractor.
        reference (dict | str): The real images, see `Reference`.
        num_real (int, optional): Number of real images to use, evenly spread over the data set; all by default.
        prefix (str, optional): Prefix of the metric's name.
    """

    reference: Reference
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
