"""Inception Score (Salimans et al., 2016, arXiv 1606.03498)."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from mmcm.evaluation.metrics.feature_metric import FeatureMetric
from mmcm.registry import METRICS
from mmcm.utils.checks import check_count


@METRICS.register_module()
class InceptionScore(FeatureMetric):
    """exp of the mean KL(p(y|x) || p(y)) over the generated images x, from 1 to the number of classes.

    As in the evaluator of Dhariwal & Nichol (2021), the images are cut, in the order of their `sample_idx`, into splits
    of 5000, and the score is the mean of the splits' scores; a last split that is smaller counts as much as others.
    Of each split, only the sums of p and of p log p are kept, in float64.

    Args:
        extractor (dict): Config of the classifier.
        split_size (int): Images of a split.
        prefix (str, optional): Prefix of the metric's name.

    Raises:
        InputError: If the extractor has no logits.
    """

    default_prefix = 'inception'
    names = MappingProxyType(dict(score='IS'))

    def __init__(self, extractor: dict, split_size: int = 5000, prefix: str | None = None) -> None:
        check_count('split_size', split_size)
        self.split_size = split_size
        super().__init__(extractor, prefix=prefix)

    def measure(self, data_samples: Sequence[dict[str, Any]]) -> np.ndarray:
        """Return log p(y|x) of each image, (N, K)."""
        logits = torch.from_numpy(self.extract_field(data_samples, 'logits'))
        return logits.double().log_softmax(1).numpy()

    def empty(self) -> 'Entropies':
        """Return the sums of no images."""
        return Entropies(self.split_size)

    def count(self, state: 'Entropies', values: np.ndarray, positions: np.ndarray) -> None:
        """Add the log p(y|x) of images."""
        state.update(values, positions)

    def compute_metrics(self, state: 'Entropies') -> dict[str, float]:
        """Return the mean of the splits' scores."""
        return dict(score=float(np.mean([np.exp(divergence) for divergence in state.divergences()])))


class Entropies:
    """Sums over the images of each split, from which its divergence follows.

    Args:
        split_size (int): Images of a split.
    """

    def __init__(self, split_size: int) -> None:
        self.split_size = split_size
        self.sums: dict[int, tuple] = {}  # number of images, sum of p (K,), sum of p log p

    def update(self, log_p: np.ndarray, positions: np.ndarray) -> None:
        """Add log p(y|x) (N, K) of images at `positions` (N,)."""
        splits = positions // self.split_size
        for split in np.unique(splits).tolist():
            part = log_p[splits == split]
            p = np.exp(part)
            self._add(split, len(part), p.sum(0), float((p * part).sum()))

    def merge(self, other: 'Entropies') -> None:
        """Add the sums of another process."""
        for split, sums in other.sums.items():
            self._add(split, *sums)

    def divergences(self) -> list[float]:
        """Return the mean KL(p(y|x) || p(y)) of each split, in nats."""
        means = ((total_p / number, total_p_log_p / number) for number, total_p, total_p_log_p in self.sums.values())
        return [p_log_p - float((p * np.log(p, where=p > 0, out=np.zeros_like(p))).sum()) for p, p_log_p in means]

    def _add(self, split: int, number: int, p: np.ndarray, p_log_p: float) -> None:
        before = self.sums.get(split, (0, 0.0, 0.0))
        self.sums[split] = tuple(old + new for old, new in zip(before, (number, p, p_log_p)))
