"""Statistics of real images: computed by all processes together, and kept in the cache.

The cache is the folder `statistics/` below `$MMCM_HOME` (else `~/.cache/mmcm`). A file is found again by the digests of
the images and of the extractor.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size, is_main_process
from mmengine.logging import print_log
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from mmcm.checkpoints import cache_folder
from mmcm.datasets.transparency import Transparency
from mmcm.evaluation.features.base import Features
from mmcm.evaluation.features.shared import SharedExtractor
from mmcm.evaluation.gaussian import RunningGaussian
from mmcm.evaluation.processes import from_each_process
from mmcm.evaluation.reference_source import Source
from mmcm.evaluation.statistics import GAUSSIANS, Statistics, read_statistics, write_statistics
from mmcm.utils.errors import InputError
from mmcm.utils.files import make_folder
from mmcm.utils.log import log_warning
from mmcm.utils.npz import open_npz
from mmcm.utils.progress import progress_bar

BATCH_SIZE = 250  # images; it affects the rounding of sums, so it is the same for all


def cached_statistics(source: Source, extractor: SharedExtractor, with_table: bool) -> Statistics | None:
    """Return the statistics in the cache, on the main process; None if they were not computed before."""
    if not is_main_process() or source.fingerprint is None:
        return None
    path = cache_files(source, extractor)[with_table]
    if not path.is_file():
        return None
    try:
        statistics = read_statistics(open_npz(path))
    except InputError as error:
        log_warning(f'{error} They are computed anew.')
        return None
    ours = (statistics.dataset, statistics.extractor) == (source.fingerprint, extractor.fingerprint)
    return statistics if ours else None


class FeatureSums:
    """Gaussians, and on request tables, of the features of some of the images.

    Args:
        with_table (bool): Whether to keep the features themselves.
    """

    def __init__(self, with_table: bool) -> None:
        self.gaussians = {part: RunningGaussian() for part in GAUSSIANS}
        self.tables: list[np.ndarray] | None = [] if with_table else None

    def add(self, features: Features) -> None:
        """Add the features of a batch."""
        for part, gaussian in self.gaussians.items():
            if getattr(features, part) is not None:
                gaussian.update(getattr(features, part).flatten(1).numpy())
        if self.tables is not None:
            self.tables.append(features.features.flatten(1).float().numpy())

    def merge(self, other: 'FeatureSums') -> None:
        """Add the features of another process."""
        for part, gaussian in self.gaussians.items():
            gaussian.merge(other.gaussians[part])
        if self.tables is not None:
            self.tables += other.tables or []

    def result(self, **about: str | None) -> Statistics:
        """Return the statistics of all features; `about` are further fields of `Statistics`."""
        results = {part: gaussian.result() for part, gaussian in self.gaussians.items() if gaussian.num_images}
        table = np.concatenate(self.tables) if self.tables else None
        return Statistics(results.get('features'), results.get('spatial'), table, **about)


def compute_statistics(
    source: Source, extractor: SharedExtractor, with_table: bool, num_workers: int
) -> Statistics | None:
    """Compute the statistics of the images of `source` and write them to the cache.

    All processes have to call it; each extracts the features of its share of the images.

    Args:
        source (Source): The real images.
        extractor (SharedExtractor): The feature extractor.
        with_table (bool): Whether to include the features of all images.
        num_workers (int): Processes that read images.

    Returns:
        Statistics | None: The statistics on the main process, None on others.

    Raises:
        InputError: In all processes, if some images cannot be read or do not fit the extractor.
    """
    if is_main_process():
        assert source.dataset is not None
        number = len(source.dataset)
        print_log(f'{extractor.kind} computes features of the {number} images of {source.name}.', 'current')
    share, error = FeatureSums(with_table), None
    try:
        for features in extracted(source, extractor, num_workers):
            share.add(features)
    except InputError as found:  # sent to the other processes, which would wait forever
        error = found
    total = merged_sums(share, error, getattr(source.whole, 'transparency', None), source.name)
    if not is_main_process():
        return None
    statistics = total.result(kind=extractor.kind, extractor=extractor.fingerprint, dataset=source.fingerprint)
    keep(statistics, source, extractor)
    return statistics


def merged_sums(
    share: FeatureSums, error: InputError | None, transparency: Transparency | None, name: str
) -> FeatureSums:
    """Return the sums of all processes, on the main one; raise the first `error` of any in all of them."""
    total, errors = FeatureSums(share.tables is not None), []
    states = transparency and transparency.states
    for other, others_error, others_states in from_each_process((share, error, states)):
        errors += [others_error] * (others_error is not None)
        if transparency is not None:
            transparency.merge(others_states)
        if is_main_process():
            total.merge(other)
    if errors:
        raise errors[0]
    composited = transparency and transparency.described()
    if composited and is_main_process():
        print_log(f'{name}: {composited}', 'current')
    return total


def extracted(source: Source, extractor: SharedExtractor, num_workers: int) -> Iterator[Features]:
    """Yield the features of this process's share of the images, batch by batch."""
    dataset = source.dataset
    assert dataset is not None
    first, last = (len(dataset) * rank // get_world_size() for rank in (get_rank(), get_rank() + 1))
    loader = DataLoader(
        Subset(dataset, range(first, last)), BATCH_SIZE, num_workers=num_workers, collate_fn=stacked_images
    )
    with progress_bar('real images', len(loader), shown=is_main_process(), unit='batches') as step:
        for images in loader:
            yield extract(images, source, extractor)
            step()


def extract(images: Tensor, source: Source, extractor: SharedExtractor) -> Features:
    """Return the features of some images of `source`, which an InputError names."""
    try:
        return extractor.extract(images)
    except InputError as error:
        raise InputError(f'the real images of {source.name}: {error}') from error


def stacked_images(samples: dict | Sequence[dict]) -> Tensor:
    """Return the `inputs` of samples as one tensor (N, C, H, W)."""
    if isinstance(samples, dict):
        return samples['inputs']
    shapes = sorted({tuple(sample['inputs'].shape) for sample in samples})
    if len(shapes) > 1:
        raise InputError(
            f'the real images have several sizes, {shapes[0]} and {shapes[-1]} for example: crop or '
            'resize them to one in the pipeline of the data set.'
        )
    return torch.stack([sample['inputs'] for sample in samples])


def keep(statistics: Statistics, source: Source, extractor: SharedExtractor) -> None:
    """Write statistics to the cache; where that fails, a warning says so and the run goes on."""
    if source.fingerprint is None:
        return
    try:
        for with_table, path in cache_files(source, extractor).items():
            make_folder(path.parent)
            if not with_table or statistics.table is not None:
                write_statistics(path, statistics if with_table else statistics._replace(table=None))
    except InputError as error:
        log_warning(f'The statistics of {source.name} are not kept: {error}')


def cache_files(source: Source, extractor: SharedExtractor) -> dict[bool, Path]:
    """Return the files in the cache, with (True) and without (False) the table of features."""
    key = hashlib.sha256(f'{source.fingerprint} {extractor.fingerprint}'.encode()).hexdigest()[:32]
    folder = cache_folder() / 'statistics'
    return {False: folder / f'{key}.npz', True: folder / f'{key}-features.npz'}
