"""Sliced Wasserstein distance between generated and real images (Rabin et al., 2011; Bonneel et al., 2015)."""

import numpy as np
import torch
from torch import Tensor

from mmcm.evaluation.metrics.feature_table import FeatureTable, in_float64
from mmcm.evaluation.metrics.pairwise_feature_metric import PairwiseFeatureMetric
from mmcm.registry import METRICS
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError

BLOCK = 16  # directions at a time, which bounds the memory


@METRICS.register_module()
class SlicedWasserstein(PairwiseFeatureMetric):
    """Root mean square, over random directions, of the 2-Wasserstein distance between the projected images.

    Projections are compared by the exact distance in one dimension, also for sets of unequal size. On pixels in [-1, 1]
    it needs no network, so no network can have been selected or trained to please it. The directions are uniform on the
    unit sphere and follow from `seed`: the same images have the same distance. A shift by the same amount in all D
    pixels has about that distance, since its square is |shift|^2 / D.

    It falls with the number of images, so compare only distances of equal numbers. The pixels of all images stay in
    memory in float32, which suits small images; projections and distances are float64.

    Args:
        reference (dict | str): The real images, see `Reference`.
        num_projections (int): Directions.
        seed (int): Seed of the directions.
        features (dict, optional): Config of the extractor whose features are compared; the pixels if None.
        num_real, prefix: See PairwiseFeatureMetric.

    Raises:
        InputError: If the generated and the real images have different sizes, or a number is out of range.
    """

    default_prefix = 'sliced_wasserstein'

    def __init__(
        self,
        reference: dict | str,
        num_projections: int = 512,
        seed: int = 0,
        features: dict | None = None,
        num_real: int | None = None,
        prefix: str | None = None,
    ) -> None:
        check_count('num_projections', num_projections)
        check_count('seed', seed, 0)
        self.num_projections = num_projections
        self.seed = seed
        super().__init__(features or dict(type='Pixels'), reference, num_real, prefix)

    def compute_metrics(self, state: FeatureTable) -> dict[str, float]:
        """Return the distance between the generated images and the reference."""
        return dict(
            distance=sliced_wasserstein(state.result(), self.reference.table(), self.num_projections, self.seed)
        )


def sliced_wasserstein(generated: np.ndarray, real: np.ndarray, num_projections: int = 512, seed: int = 0) -> float:
    """Return the distance between the features `generated` (M, D) and `real` (N, D).

    It is computed in float64, on a GPU if there is one.

    Raises:
        InputError: If a set is empty, or the two have features of different sizes.
    """
    if not (len(generated) and len(real)) or generated.shape[1:] != real.shape[1:]:
        raise InputError(
            'the sliced Wasserstein distance is between images of the same size, got features of the '
            f'shapes {generated.shape} (generated) and {real.shape} (real).'
        )
    x, y = in_float64(generated), in_float64(real)
    squares = [
        wasserstein_squares(x @ part, y @ part)
        for part in directions(num_projections, x.shape[1], seed).to(x.device).split(BLOCK, dim=1)
    ]
    return float(torch.cat(squares).mean().sqrt())


def directions(number: int, size: int, seed: int) -> Tensor:
    """Return `number` unit vectors, (size, number), float64, uniform on the sphere."""
    vectors = np.random.RandomState(seed).normal(size=(number, size))
    return torch.from_numpy((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).T.copy())


def wasserstein_squares(a: Tensor, b: Tensor) -> Tensor:
    """Return the squared 2-Wasserstein distance between each column of `a` (M, P) and of `b` (N, P): (P,).

    It is the integral over u of the squared difference of the quantile functions, which are constant between multiples
    of 1 / M and of 1 / N. In units of 1 / (M N) these are whole numbers.
    """
    m, n = len(a), len(b)
    ends = torch.unique(torch.cat([torch.arange(1, m + 1, device='cpu') * n, torch.arange(1, n + 1, device='cpu') * m]))
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    shares = ((ends - starts).double() / (m * n)).to(a.device)
    a, b = (values.sort(0).values[(starts // length).to(a.device)] for values, length in ((a, n), (b, m)))
    return shares @ (a - b).square()
