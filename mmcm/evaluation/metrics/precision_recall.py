"""Improved precision and recall (Kynkäänniemi et al., 2019, arXiv 1904.06991).

Each set of images is described by balls in feature space: around every image one that reaches to its k-th nearest
neighbour of the same set. Precision is the share of the drawn images that lie in a ball of the real ones: it falls with
every image that looks like none of the data. Recall is the share of the real images that lie in a ball of the drawn
ones: it falls with everything that is never drawn.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mmcm.evaluation.metrics.feature_table import FeatureTable, in_float64
from mmcm.evaluation.metrics.pairwise_feature_metric import ComparingMetric
from mmcm.registry import METRICS
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError

BLOCK = 2**24  # distances in memory at once: 128 MiB
ROUNDING = 1e-12  # of a squared distance, in units of the squared norms it is made of; float64 with room to spare


@METRICS.register_module()
class PrecisionRecall(ComparingMetric):
    """Improved precision and recall of the drawn images, each in [0, 1].

    Both depend on the number of images, above all on that of the set with the balls: compare only scores of equal
    numbers. Published ones are of 50 000 drawn images and 50 000 or, with the evaluator of Dhariwal & Nichol (2021),
    10 000 real ones. That evaluator computes distances in float16 where these do not overflow; here they are of
    float64, and the features of all images stay in memory in float32.

    The main process computes them, on a GPU where there is one, and the others wait. For 50 000 images and as many real
    ones of 2048 features these are 3 * 10^13 operations: seconds of a GPU, and 12 minutes of a CPU that has 45 * 10^9
    of them done in a second; 10 000 real ones take less than half of that. On slow CPUs it may be more than the 30
    minutes for which processes wait: set `env_cfg.dist_cfg.timeout`, in seconds, or evaluate with one process.

    Args:
        extractor (dict): Config of the feature extractor.
        reference (dict | str): The real images, see `Reference`.
        num_neighbours (int): k, which does not count the image itself.
        num_real (int, optional): How many of the real images, evenly spread over the data set; all if not given.
        prefix (str, optional): Prefix of the metric's name.

    Raises:
        InputError: If `num_neighbours` is below 1, or, when the scores are computed, if a set has no more than
            that many images.
    """

    default_prefix = 'manifold'
    names = dict(precision='Precision', recall='Recall')

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
        """Return `precision` and `recall` of the drawn images."""
        precision, recall = precision_recall(self.reference.table(), state.result(), self.num_neighbours)
        return dict(precision=precision, recall=recall)


def precision_recall(real: np.ndarray, drawn: np.ndarray, k: int = 3) -> tuple[float, float]:
    """Return the precision and the recall of the features `drawn` (M, D) of images, given those of `real` (N, D) ones.

    The distances are computed in float64, on a GPU where there is one.

    Raises:
        InputError: If a set has no k-th neighbour: N and M have to be above k.
    """
    for name, features in (('real', real), ('drawn', drawn)):
        if len(features) <= k:
            raise InputError(
                f'precision and recall with {k} neighbours need at least {k + 1} {name} images, got {len(features)}.'
            )
    real, drawn = in_float64(real), in_float64(drawn)
    centre = real.mean(0)  # distances are rounded less where norms are small
    real -= centre
    drawn -= centre
    real_radii, drawn_radii = squared_radii(real, k), squared_radii(drawn, k)
    num_precise, recalled = 0, torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for distances, radii in zip(squared_distances(drawn, real), drawn_radii.split(block_size(real))):
        num_precise += int((distances <= real_radii).any(1).sum())
        recalled |= (distances <= radii[:, None]).any(0)
    return num_precise / len(drawn), float(recalled.double().mean())


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
        # Equal features are at no distance, whatever the rounding: a ball of radius 0 still holds its centre.
        yield distances.masked_fill_(distances <= ROUNDING * scale, 0)
