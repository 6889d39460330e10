"""Fréchet distance between the features of drawn and of real images (Heusel et al., 2017, arXiv 1706.08500)."""
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from mmcm.evaluation.metrics.extracting_metric import ExtractingMetric
from mmcm.registry import METRICS
from mmcm.utils.errors import InputError


@METRICS.register_module()
class FrechetDistance(ExtractingMetric):
    """Distance between Gaussians fitted to the features of the drawn images and of a data set.

    Args:
        extractor (dict): Config of the feature extractor; with Inception's pool features the distance is the FID.
        reference (dict): Config of the data set of real images, whose `inputs` are uint8, (C, H, W).
        collect_device (str): Where the results of several processes meet, 'cpu' or 'gpu'.
        prefix (str, optional): Prefix of the metric's name.
    """

    default_prefix = 'frechet'

    def __init__(self,
                 extractor: dict,
                 reference: dict,
                 collect_device: str = 'cpu',
                 prefix: Optional[str] = None) -> None:
        super().__init__(extractor, collect_device, prefix)
        self.reference = reference

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Collect the features of a batch."""
        self.results += list(self.extract_drawn(data_samples).features.cpu().double().numpy())

    def compute_metrics(self, results: list[np.ndarray]) -> dict[str, float]:
        """Return the distance between the collected features and the data set's."""
        drawn = np.stack(results)
        real = self.extract_dataset(self.reference)
        return dict(distance=frechet_distance(moments(drawn), moments(real)))


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean (D,) and the covariance (D, D), unbiased, of `features` (N, D)."""
    if len(features) < 2:
        raise InputError(f'a covariance needs at least 2 images, got {len(features)}.')
    return features.mean(0), np.cov(features, rowvar=False)


def frechet_distance(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> float:
    """Return |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) for two pairs of mean (D,) and covariance (D, D).

    tr (C_a C_b)^(1/2) is the sum of the square roots of the eigenvalues of C_a^(1/2) C_b C_a^(1/2), which is symmetric.
    """
    (mean_a, covariance_a), (mean_b, covariance_b) = a, b
    values, vectors = np.linalg.eigh(covariance_a)
    root_a = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    eigenvalues = np.linalg.eigvalsh(root_a @ covariance_b @ root_a)
    cross = np.sqrt(eigenvalues.clip(min=0)).sum()
    return float(np.square(mean_a - mean_b).sum() + np.trace(covariance_a) + np.trace(covariance_b) - 2 * cross)
