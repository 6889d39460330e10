"""Improved precision and recall (Kynkäänniemi et al., 2019, arXiv 1904.06991).

Each set of images is described by balls in feature space: around every image one that reaches to its k-th nearest
neighbour of the same set. Precision is the fraction of the generated images that lie in a ball of the real ones: it
falls with every image that resembles none of the data. Recall is the fraction of the real images that lie in a ball of
the generated ones: it falls with everything that is never generated.
"""

from collections.abc import Iterator
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from mmcm.evaluation.metrics.feature_table import FeatureTable, in_float64
from mmcm.evaluation.metrics.pairwise_feature_metric import PairwiseFeatureMetric
from mmcm.registry import METRICS
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError

BLOCK = 2**24  # distances in memory at once: 128 MiB
ROUNDING = 1e-12  # of a squared distance, in units of the squared norms it is made of; float64 with room to spare


@METRICS.register_module()
class PrecisionRecall(PairwiseFeatureMetric):
    """Improved precision and recall of the generated images, each in [0, 1].

    Both depend on the number of images, above all of the set with the balls: compare only scores of equal numbers.
    Published ones are of 50 000 generated images and 50 000 or, with the evaluator of Dhariwal & Nichol (2021), 10 000
    real ones. That evaluator computes distances in float16 if these do not overflow; here they are float64, and the
    features of all images stay in memory in float32.

    The main process computes them, on a GPU if there is one, and the others wait. For 50 000 images and as many real
    ones of 2048 features these are 3 * 10^13 operations: seconds on a GPU, and 12 minutes on a CPU with 45 * 10^9
    operations per second; 10 000 real ones take less than half of that. On slow CPUs it may exceed the 30 minutes for
    which processes wait: set `env_cfg.dist_cfg.timeout`, in seconds, or evaluate with one process.

    Args:
        extractor (dict): Config of the feature extractor.
        reference (dict | str): The real images, see `Reference`.
        num_neighbours (int): k, not counting the image itself.
        num_real, prefix: See PairwiseFeatureMetric.

    Raises:
        InputError: If `num_neighbours` is below 1, or, when the scores are computed, if a set has no more than
            that many images.
    """

    default_prefix = 'manifold'
    names = MappingProxyType(dict(precision='Precision', recall='Recall'))

    def __init__(
        self,
        extractor: dict,
        reference: dict | str,
        num_neighbours: int = 3,
        num_real: int | None = None,
        prefix: str | None = None,
    ) -> None:
        check_count('num_neighbours', num_neighbours)
        self.num_neighbours = num_neighbours
        self.least = num_neighbours + 1
        super().__init__(extractor, reference, num_real, prefix)

    def compute_metrics(self, state: FeatureTable) -> dict[str, float]:
        """Return `precision` and `recall` of the generated images."""
        precision, recall = precision_recall(self.reference.table(), state.result(), self.num_neighbours)
        return dict(precision=precision, recall=recall)


def precision_recall(real: np.ndarray, generated: np.ndarray, k: int = 3) -> tuple[float, float]:
    """Return precision and recall of images with the features `generated` (M, D), against those of `real` (N, D) ones.

    Distances are computed in float64, on a GPU if there is one.

    Raises:
        InputError: If a set has no k-th neighbour: N and M have to be above k.
    """
    for name, features in (('real', real), ('generated', generated)):
        if len(features) <= k:
            raise InputError(
                f'precision and recall with {k} neighbours need at least {k + 1} {name} images, got {len(features)}.'
            )
    x, y = in_float64(real), in_float64(generated)
    centre = x.mean(0)  # distances are rounded less if norms are small
    x -= centre
    y -= centre
    real_radii, generated_radii = squared_radii(x, k), squared_radii(y, k)
    num_precise, recalled = 0, torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for distances, radii in zip(squared_distances(y, x), generated_radii.split(block_size(x))):
        num_precise += int((distances <= real_radii).any(1).sum())
        recalled |= (distances <= radii[:, None]).any(0)
    return num_precise / len(y), float(recalled.double().mean())


def squared_radii(features: Tensor, k: int) -> Tensor:
    """Return the squared distance of each of `features` (N, D) to its k-th nearest neighbour, not itself, (N,)."""
    return torch.cat(
        [
            distances.topk(k + 1, largest=False).values.amax(1)  # + 1: the nearest one is the image itself
            for distances in squared_distances(features, features)
        ]
    )


def block_size(b: Tensor) -> int:
    """Return how many rows of distances to `b` (N, D) are in memory at once."""
    return max(1, BLOCK // len(b))


def squared_distances(a: Tensor, b: Tensor) -> Iterator[Tensor]:
    """Yield the squared distances of `a` (M, D) to `b` (N, D), in blocks of at most `block_size(b)` rows."""
    square_b = b.square().sum(1)
    for rows in a.split(block_size(b)):
        scale = rows.square().sum(1, keepdim=True) + square_b
        distances = torch.addmm(scale, rows, b.T, alpha=-2)
        # Equal features have distance 0, whatever the rounding: a ball of radius 0 contains its centre.
        yield distances.masked_fill_(distances <= ROUNDING * scale, 0)
