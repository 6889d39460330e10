"""Statistics of real images in the features of one network, and their file format.

The file is an npz with the names of Dhariwal & Nichol (2021), `mu`, `sigma` (features), `mu_s` and `sigma_s`
(spatial features), in float64. Ours add `num_images`, `extractor` and `dataset` (fingerprints), `kind` (the extractor's
name) and, on request, the features of all images, `features` (N, D), in float32.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmcm.evaluation.gaussian import Gaussian
from mmcm.utils.errors import InputError
from mmcm.utils.files import appearing
from mmcm.utils.npz import NpzFile
from mmcm.utils.provenance import record_of, text_of

FLOATS = 'fiu'  # kinds of dtypes
MAX_FEATURES = 2**13  # whose covariance has 512 MB; InceptionV3 has 2048 features
MAX_TEXT = 2**12  # bytes of a name or a digest
GAUSSIANS = dict(features=('mu', 'sigma'), spatial=('mu_s', 'sigma_s'))  # names of entries in the file
PARTS = (*GAUSSIANS, 'table')  # fields of Statistics with data


class Statistics(NamedTuple):
    """Statistics of a set of images.

    Attributes:
        features (Gaussian, optional): Of the features.
        spatial (Gaussian, optional): Of the spatial features; None if the extractor has none.
        table (ndarray, optional): The features themselves, (N, D), float32.
        kind (str, optional): Name of the extractor, None in files of other programs.
        extractor (str, optional): Its fingerprint.
        dataset (str, optional): Fingerprint of the data set.
    """

    features: Gaussian | None = None
    spatial: Gaussian | None = None
    table: np.ndarray | None = None
    kind: str | None = None
    extractor: str | None = None
    dataset: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is neither a Gaussian nor a table."""
        return all(getattr(self, part) is None for part in PARTS)

    def completed(self, other: 'Statistics') -> 'Statistics':
        """Return these statistics, with what they lack taken from `other`."""
        return self._replace(**{name: value for name, value in other._asdict().items() if getattr(self, name) is None})

    def size(self, part: str) -> int | None:
        """Return the dimensions of `part`, 'features', 'spatial' or 'table'; None if it is missing."""
        known = getattr(self, part)
        if known is None:
            return None
        return known.shape[1] if part == 'table' else len(known.mean)


def read_statistics(file: NpzFile) -> Statistics:
    """Return the statistics that `file` has.

    Raises:
        InputError: If an entry has another form.
    """
    number = read_number(file, 'num_images') if 'num_images' in file else None
    parts = {part: read_gaussian(file, *names, number) for part, names in GAUSSIANS.items() if names[0] in file}
    texts = {name: read_text(file, name) for name in ('kind', 'extractor', 'dataset') if name in file}
    table = file['features'] if 'features' in file else None  # noqa: SIM401  (get would raise an InputError)
    if table is not None and table.ndim != 2:
        raise InputError(f'features in {file.path} have the shape {table.shape}: (N, D) is expected.')
    if table is not None and table.dtype.kind != 'f':
        raise InputError(f'features in {file.path} are {table.dtype}: floating point numbers are expected.')
    return Statistics(parts.get('features'), parts.get('spatial'), table, **texts)


def read_gaussian(file: NpzFile, mean_name: str, covariance_name: str, num_images: int | None) -> Gaussian:
    """Return a mean and a covariance in `file`; raise an InputError if they have another form."""
    mean, covariance = file[mean_name], file[covariance_name]
    if mean.dtype.kind not in FLOATS or covariance.dtype.kind not in FLOATS:
        raise InputError(
            f'{mean_name} and {covariance_name} in {file.path} are {mean.dtype} and {covariance.dtype}: '
            'numbers are expected.'
        )
    if mean.ndim != 1 or covariance.shape != 2 * mean.shape:
        raise InputError(
            f'{mean_name} and {covariance_name} in {file.path} have the shapes {mean.shape} and '
            f'{covariance.shape}: (D,) and (D, D) are expected.'
        )
    if len(mean) > MAX_FEATURES:
        raise InputError(f'{mean_name} in {file.path} has {len(mean)} dimensions, more than {MAX_FEATURES}.')
    mean, covariance = (np.array(array, np.float64) for array in (mean, covariance))
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise InputError(f'{mean_name} or {covariance_name} in {file.path} is not finite. Make the file again.')
    return Gaussian(mean, covariance, num_images)


def read_number(file: NpzFile, name: str) -> int:
    """Return a whole number in `file`; raise an InputError if it is none."""
    array = file[name]
    if array.dtype.kind not in 'iu' or array.size != 1:
        raise InputError(
            f'{name} in {file.path} is {array.dtype} of the shape {array.shape}: a whole number is expected.'
        )
    return int(array.reshape(()))


def read_text(file: NpzFile, name: str) -> str:
    """Return a text in `file`; raise an InputError if it is none."""
    array = file[name]
    if array.dtype.kind != 'U' or array.size != 1 or array.dtype.itemsize > MAX_TEXT:
        raise InputError(f'{name} in {file.path} is {array.dtype} of the shape {array.shape}: a text is expected.')
    return str(array.reshape(()))


def write_statistics(path: Path, statistics: Statistics) -> None:
    """Write `statistics` to a file that appears whole; raise an InputError if it cannot be written."""
    arrays = {name: getattr(statistics, name) for name in ('kind', 'extractor', 'dataset')}
    arrays['features'] = statistics.table
    for part, names in GAUSSIANS.items():
        gaussian = getattr(statistics, part)
        if gaussian is not None:
            arrays.update(zip(names, gaussian))
            arrays['num_images'] = gaussian.num_images
    arrays['provenance'] = text_of(record_of('statistics'))
    with appearing(path) as unfinished, unfinished.open('wb') as file:
        np.savez(file, **{name: value for name, value in arrays.items() if value is not None})
