"""Fréchet distance between the features of generated and of real images (Heusel et al., 2017, arXiv 1706.08500)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmcm.evaluation.gaussian import Gaussian, RunningGaussian
from mmcm.evaluation.metrics.feature_metric import FeatureMetric
from mmcm.evaluation.reference import Reference, shared_reference
from mmcm.registry import METRICS
from mmcm.utils.errors import InputError
from mmcm.utils.log import log_warning

KEYS = dict(features='distance', spatial='spatial_distance')
KINDS = dict(features='feature', spatial='spatial')  # of dimensions, in messages


@METRICS.register_module()
class FrechetDistance(FeatureMetric):
    """Distance between Gaussians fitted to the features of the generated and of the real images, in squared features.

    With the features of `InceptionV3` it is the FID, with the spatial ones the sFID (Nash et al., 2021, arXiv
    2103.03841). It falls with the number of images, so compare only distances of equal numbers: published ones are of
    50 000. The moments are summed in float64 batch by batch; no image is kept.

    Args:
        extractor (dict): Config of the feature extractor.
        reference (dict | str): The real images, see `Reference`.
        which (str): 'features' (`frechet/distance`) or 'spatial' (`frechet/spatial_distance`).
        prefix (str, optional): Prefix of the metric's name.

    Raises:
        InputError: If there are fewer than two images, or the extractor lacks these features. Fewer images than
            features cause a warning: their covariance is singular, and the distance far too large.
    """

    default_prefix = 'frechet'
    reference: Reference
    least = 2

    def __init__(
        self, extractor: dict, reference: dict | str, which: str = 'features', prefix: str | None = None
    ) -> None:
        if which not in KEYS:
            raise InputError(f'which has to be {" or ".join(map(repr, KEYS))}, got {which!r}.')
        self.which = self.part = which
        self.names = {KEYS[which]: dict(features='FID', spatial='sFID')[which]}
        self.warned: set[str] = set()
        super().__init__(extractor, shared_reference(reference, extractor), prefix)
        self.reference.want(which)

    def measure(self, data_samples: Sequence[dict[str, Any]]) -> np.ndarray:
        """Return the features of each image, (N, D)."""
        features = self.extract_field(data_samples, self.which)
        self.reference.check(self.which, features.shape[1])
        return features

    def empty(self) -> RunningGaussian:
        """Return the Gaussian of no images."""
        return RunningGaussian()

    def count(self, state: RunningGaussian, values: np.ndarray, positions: np.ndarray) -> None:
        """Add features (N, D)."""
        state.update(values)

    def compute_metrics(self, state: RunningGaussian) -> dict[str, float]:
        """Return the distance between the generated images and the reference."""
        generated, real = state.result(), self.reference.gaussian(self.which)
        for name, gaussian in (('generated', generated), ('real', real)):
            self.warn_of_few(name, gaussian)
        return {KEYS[self.which]: frechet_distance(generated, real)}

    def warn_of_few(self, name: str, gaussian: Gaussian) -> None:
        """Warn once about fewer images than dimensions."""
        size = len(gaussian.mean)
        if gaussian.num_images is not None and gaussian.num_images <= size and name not in self.warned:
            self.warned.add(name)
            log_warning(
                f'{gaussian.num_images} {name} images are too few for {size} {KINDS[self.which]} dimensions: their '
                f'covariance is singular, and the distance is no measure of the images. Take more than {size}, '
                'published distances are of 50 000.'
            )


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """Return |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) for two Gaussians, also singular ones.

    With C_a = F F^T, tr (C_a C_b)^(1/2) is the sum of the roots of the eigenvalues of F^T C_b F. Where one of these is
    zero, the root of its rounding error would be added, so F has a column for each dimension in which C_a is not
    singular, and a is the set with fewer images. (The singular values of F_a^T F_b are the same
    numbers, and take twice as long.)

    Raises:
        InputError: If they do not have the same dimensions, or are not finite.
    """
    if len(a.mean) != len(b.mean):
        raise InputError(f'Gaussians of {len(a.mean)} and of {len(b.mean)} dimensions cannot be compared.')
    if not all(np.isfinite(array).all() for gaussian in (a, b) for array in (gaussian.mean, gaussian.covariance)):
        raise InputError(
            'Gaussians that are not finite cannot be compared: the features that they were fitted to have '
            'NaN or infinite values.'
        )
    a, b = sorted((a, b), key=lambda gaussian: gaussian.num_images or np.inf)
    root = factor(a.covariance)
    cross = np.sqrt(np.linalg.eigvalsh(root.T @ b.covariance @ root).clip(min=0)).sum()
    distance = np.square(a.mean - b.mean).sum() + np.trace(a.covariance) + np.trace(b.covariance) - 2 * cross
    return max(float(distance), 0.0)  # below zero by rounding alone


def factor(covariance: np.ndarray) -> np.ndarray:
    """Return F (D, r) with F F^T = `covariance` (D, D), whose rank is r."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > values[-1] * len(values) * np.finfo(np.float64).eps  # the others are rounding errors
    return vectors[:, kept] * np.sqrt(values[kept])
