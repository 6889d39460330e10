"""Table of the features of all images, for metrics that compare images one by one."""

import numpy as np
import torch
from torch import Tensor

from mmcm.utils.finite import check_given


class FeatureTable:
    """Features in float32, the precision of the networks; the memory grows with the number of images."""

    def __init__(self) -> None:
        self.parts: list[tuple[np.ndarray, np.ndarray]] = []

    def update(self, features: np.ndarray, positions: np.ndarray) -> None:
        """Add the features (N, D) of images at `positions` (N,)."""
        self.parts.append((np.asarray(features, np.float32), positions))

    def merge(self, other: 'FeatureTable') -> None:
        """Add the features of another process."""
        self.parts += other.parts

    def result(self) -> np.ndarray:
        """Return the features of all images, (N, D), in the order of their positions."""
        if not self.parts:
            return np.zeros((0, 0), np.float32)
        features, positions = map(np.concatenate, zip(*self.parts))
        return features[positions.argsort(kind='stable')]


def in_float64(features: np.ndarray) -> Tensor:
    """Return finite `features` as a new float64 tensor, on a GPU if there is one; else raise an InputError."""
    check_given('features', torch.as_tensor(features, device='cpu'))
    return torch.tensor(features, dtype=torch.float64, device='cuda' if torch.cuda.is_available() else 'cpu')
