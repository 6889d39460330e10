"""Kernel distance between the features of generated and of real images (Bińkowski et al., 2018, arXiv 1801.01401)."""

from types import MappingProxyType

import numpy as np
from torch import Tensor

from mmcm.evaluation.metrics.feature_table import FeatureTable, in_float64
from mmcm.evaluation.metrics.pairwise_feature_metric import PairwiseFeatureMetric
from mmcm.registry import METRICS
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.log import log_warning


@METRICS.register_module()
class KernelDistance(PairwiseFeatureMetric):
    """Squared maximum mean discrepancy of the features with the kernel (x^T y / D + 1)^3; KID in Inception's features.

    It is the mean of the unbiased estimates from pairs of subsets of the generated and of the real images. The subsets
    have a seed of their own: a second evaluation of the same images has the same result. Their size and number are as
    in Bińkowski et al., torch-fidelity and torchmetrics. The estimate may be below zero. The features of all
    images stay in memory in float32; sums are in float64.

    With fewer images than a subset has, subsets are as large as the smaller of the two sets, and a warning says so: the
    estimate is still unbiased, but less certain.

    Args:
        extractor (dict): Config of the feature extractor.
        reference (dict | str): The real images, see `Reference`.
        num_subsets (int): Pairs of subsets.
        subset_size (int): Images of a subset, 2 or more.
        seed (int): Seed of the subsets.
        num_real, prefix: See PairwiseFeatureMetric.
    """

    default_prefix = 'kernel'
    names = MappingProxyType(dict(distance='KID'))

    def __init__(
        self,
        extractor: dict,
        reference: dict | str,
        num_subsets: int = 100,
        subset_size: int = 1000,
        seed: int = 0,
        num_real: int | None = None,
        prefix: str | None = None,
    ) -> None:
        check_count('num_subsets', num_subsets)
        check_count('subset_size', subset_size, 2)
        check_count('seed', seed, 0)
        self.num_subsets = num_subsets
        self.subset_size = subset_size
        self.seed = seed
        self.warned = False
        super().__init__(extractor, reference, num_real, prefix)

    def compute_metrics(self, state: FeatureTable) -> dict[str, float]:
        """Return the distance between the generated images and the reference."""
        generated, real = state.result(), self.reference.table()
        size = min(self.subset_size, len(generated), len(real))
        if size < self.subset_size and not self.warned:
            self.warned = True
            log_warning(
                f'{len(generated)} generated and {len(real)} real images: the kernel distance takes subsets of '
                f'{size}, not of {self.subset_size}, and is less certain.'
            )
        return dict(distance=kernel_distance(generated, real, self.num_subsets, size, self.seed))


def kernel_distance(
    generated: np.ndarray, real: np.ndarray, num_subsets: int, subset_size: int, seed: int = 0
) -> float:
    """Return the mean squared discrepancy of pairs of subsets of the features `generated` (M, D) and `real` (N, D).

    Raises:
        InputError: If a set has fewer images than a subset, or there are fewer than 2.
    """
    if subset_size < 2 or min(len(generated), len(real)) < subset_size:
        raise InputError(
            f'the kernel distance needs subsets of at least 2 images, got {len(generated)} generated and '
            f'{len(real)} real ones.'
        )
    random = np.random.RandomState(seed)
    estimates = []
    for _ in range(num_subsets):
        x, y = (
            in_float64(features[random.choice(len(features), subset_size, replace=False)])
            for features in (generated, real)
        )
        estimates.append(squared_discrepancy(x, y))
    return float(np.mean(estimates))


def squared_discrepancy(x: Tensor, y: Tensor) -> float:
    """Return the unbiased estimate of the squared maximum mean discrepancy from x (M, D) and y (M, D), float64."""
    number = len(x)
    within = sum(kernel(z, z).fill_diagonal_(0).sum() for z in (x, y)) / (number * (number - 1))
    return float(within - 2 * kernel(x, y).mean())


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return (x_i^T y_j / D + 1)^3 for x (M, D) and y (N, D), (M, N)."""
    return (x @ y.T / x.shape[1] + 1) ** 3
