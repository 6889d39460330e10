"""The Gaussian that is fitted to features: its mean and covariance, in float64, from batches of any size."""
from typing import NamedTuple

import numpy as np

from mmcm.utils.errors import InputError


class Gaussian(NamedTuple):
    """What is known of a set of features.

    Attributes:
        mean (ndarray): (D,), float64.
        covariance (ndarray): (D, D), float64, unbiased: divided by one less than the number of images.
        num_images (int, optional): How many images; None where a file does not tell.
    """

    mean: np.ndarray
    covariance: np.ndarray
    num_images: int = None


class RunningGaussian:
    """Mean and covariance of features that come in batches; its memory does not depend on how many there are.

    Means and squared deviations of parts are merged by the formula of Chan, Golub and LeVeque (1979), which does not
    lose digits as the difference of large sums would.
    """

    def __init__(self) -> None:
        self.num_images = 0
        self.mean = 0.
        self.deviations = 0.  # sum of (x - mean) (x - mean)^T

    def update(self, features: np.ndarray) -> None:
        """Add the features (N, D) of a batch."""
        if len(features):
            features = np.asarray(features, np.float64)
            mean = features.mean(0)
            centred = features - mean
            self._add(len(features), mean, centred.T @ centred)

    def merge(self, other: 'RunningGaussian') -> None:
        """Add what another one, of another process, say, has seen."""
        if other.num_images:
            self._add(other.num_images, other.mean, other.deviations)

    def result(self) -> Gaussian:
        """Return the Gaussian; an InputError if there were fewer than 2 images."""
        if self.num_images < 2:
            raise InputError(f'a covariance needs at least 2 images, got {self.num_images}.')
        return Gaussian(self.mean, self.deviations / (self.num_images - 1), self.num_images)

    def _add(self, number: int, mean: np.ndarray, deviations: np.ndarray) -> None:
        total = self.num_images + number
        step = mean - self.mean
        self.deviations = self.deviations + deviations + np.outer(step, step) * (self.num_images * number / total)
        self.mean = self.mean + step * (number / total)
        self.num_images = total
