"""Gaussian fitted to features: mean and covariance, in float64, from batches of any size."""

from typing import NamedTuple

import numpy as np

from mmcm.utils.errors import InputError


class Gaussian(NamedTuple):
    """Mean and covariance of a set of features.

    Attributes:
        mean (ndarray): (D,), float64.
        covariance (ndarray): (D, D), float64, unbiased: divided by one less than the number of images.
        num_images (int, optional): Number of images; None if a file does not say.
    """

    mean: np.ndarray
    covariance: np.ndarray
    num_images: int | None = None


class RunningGaussian:
    """Mean and covariance of features that come in batches, in constant memory.

    Means and squared deviations of parts are merged by the formula of Chan, Golub and LeVeque (1979), which loses no
    digits, unlike the difference of large sums.
    """

    def __init__(self) -> None:
        self.num_images = 0
        self.mean: np.ndarray = np.zeros(())
        self.deviations: np.ndarray = np.zeros(())  # sum of (x - mean) (x - mean)^T

    def update(self, features: np.ndarray) -> None:
        """Add the features (N, D) of a batch."""
        if len(features):
            features = np.asarray(features, np.float64)
            mean = features.mean(0)
            step = self._move(len(features), mean)
            rows = np.concatenate([features - mean, step[None]])
            self._deviate(rows.T @ rows)

    def merge(self, other: 'RunningGaussian') -> None:
        """Add the features of another one, of another process for example."""
        if other.num_images:
            step = self._move(other.num_images, other.mean)
            self._deviate(other.deviations + np.outer(step, step))

    def result(self) -> Gaussian:
        """Return the Gaussian; raise an InputError if there are fewer than 2 images."""
        if self.num_images < 2:
            raise InputError(f'a covariance needs at least 2 images, got {self.num_images}: take more.')
        return Gaussian(self.mean, self.deviations / (self.num_images - 1), self.num_images)

    def _move(self, number: int, mean: np.ndarray) -> np.ndarray:
        """Move the mean by `number` images of another mean; return the vector whose square joins the deviations."""
        total = self.num_images + number
        step = mean - self.mean
        grown = step * (self.num_images * number / total) ** 0.5
        self.mean = self.mean + step * (number / total)
        self.num_images = total
        return grown

    def _deviate(self, deviations: np.ndarray) -> None:
        """Add to the deviations, of which there may be millions, in place."""
        if self.deviations.ndim:
            self.deviations += deviations
        else:
            self.deviations = deviations
