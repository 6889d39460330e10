"""The real images that drawn ones are measured against, as a network of features sees them."""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple
from weakref import WeakValueDictionary

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size, is_main_process
from mmengine.logging import print_log
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from mmcm.checkpoints import cache_folder, resolve_checkpoint
from mmcm.evaluation.features.base import Features
from mmcm.evaluation.features.shared import REFERENCE, shared_extractor
from mmcm.evaluation.gaussian import Gaussian, RunningGaussian
from mmcm.evaluation.processes import from_each_process, from_main_process
from mmcm.evaluation.statistics import Statistics, read_statistics, write_statistics
from mmcm.registry import DATASETS
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.files import make_folder
from mmcm.utils.npz import open_npz
from mmcm.utils.progress import progress_bar

PARTS = ('features', 'spatial', 'table')  # what may be asked for, see Statistics
BATCH_SIZE = 250  # images; sums are rounded by it, so that it is the same for all
BATCHES = 'https://openaipublic.blob.core.windows.net/diffusion/jul-2021/ref_batches'
PUBLISHED = dict(  # of Dhariwal & Nichol (2021): statistics of the data, and 10 000 of the images
    imagenet64=f'{BATCHES}/imagenet/64/VIRTUAL_imagenet64_labeled.npz',
    lsun_bedroom256=f'{BATCHES}/lsun/bedroom/VIRTUAL_lsun_bedroom256.npz',
    lsun_cat256=f'{BATCHES}/lsun/cat/VIRTUAL_lsun_cat256.npz',
)


class Source(NamedTuple):
    """What a reference is made of: statistics, images, or both.

    Attributes:
        statistics (Statistics): Those in the file; empty where it has none, or they are of another extractor.
        dataset (Dataset, optional): The images.
        name (str): What messages call it.
    """

    statistics: Statistics
    dataset: Dataset | None
    name: str


class Reference:
    """Statistics of real images in the features of an extractor.

    They are taken from a file, or computed from images, by all processes together, and kept in `statistics/` below the
    cache (`$MMCM_HOME`, else `~/.cache/mmcm`), where the same images seen by the same extractor are found again.

    Args:
        source (dict | str | Path): The config of a data set, whose `inputs` are uint8 (C, H, W), a name in `PUBLISHED`
            ('imagenet64', ...), or the path or address of an npz file: what `mmcm statistics` writes, images
            (`arr_0`), or a reference batch of Dhariwal & Nichol (2021). The statistics in these are taken as they are
            where the extractor is `InceptionV3`.
        extractor (dict): Config of the feature extractor.
        num_images (int, optional): So many of the images, evenly spread over the data set, are enough; all if not
            given.
        num_workers (int): Processes that read images.

    Raises:
        InputError: If there is no such file; when the reference is looked at, if it holds nothing of use, or statistics
            of another extractor.
    """

    def __init__(
        self, source: dict | str | Path, extractor: dict, num_images: int | None = None, num_workers: int = 0
    ) -> None:
        if num_images is not None:
            check_count('num_images', num_images, 2)
        check_count('num_workers', num_workers, 0)
        if not isinstance(source, dict):
            source = PUBLISHED.get(str(source), str(source))  # options may make numbers of names
            check_reference(source)
        self.given = source
        self.extractor = shared_extractor(extractor)
        self.num_images = num_images
        self.num_workers = num_workers
        self.wanted = set()
        self.statistics: Statistics | None = None

    def want(self, part: str) -> None:
        """Say that 'features' or 'spatial' (Gaussians) or the 'table' of features will be asked for."""
        self.wanted.add(part)

    def check_number(self, part: str, least: int, purpose: str) -> None:
        """Raise an InputError if it is known that there are fewer than `least` images for `part`, and say what for."""
        known = getattr(self.source.statistics, part)
        if known is None:
            number = None if self.source.dataset is None else len(self.source.dataset)
        else:
            number = len(known) if part == 'table' else known.num_images
        if number is not None and number < least:
            raise InputError(
                f'{purpose} needs at least {least} real images, and {self.source.name} has {number}: take '
                'more of them, or leave the metric out.'
            )

    def check_first(self, part: str) -> None:
        """Raise an InputError if images will be looked at for `part`, and the first one does not fit the extractor."""
        source = self.source
        if self.statistics is None and getattr(source.statistics, part) is None and source.dataset is not None:
            self._extract(stacked_images([source.dataset[0]]))

    def check(self, part: str, size: int) -> None:
        """Raise an InputError if `part` of the reference will not be there, or not with `size` dimensions."""
        known = self.source.statistics.size(part)
        if known is None and self.source.dataset is None:
            raise InputError(
                f'{self.source.name} has no {"spatial features" if part == "spatial" else "images"}, '
                f'nor what was made of them for this metric. {self.advice}'
            )
        if known not in (None, size):
            raise InputError(
                f'{self.source.name} has statistics of {known} dimensions, and {self.extractor.kind} '
                f'makes {size} {"spatial " * (part == "spatial")}features. {self.advice}'
            )

    def prepare(self) -> None:
        """Find or compute what was wanted. All processes have to call it; the main one then knows the result."""
        known = self.statistics or self.source.statistics
        if from_main_process(any(getattr(known, part) is None for part in self.wanted)):
            found = self._cached()
            if not from_main_process(found is not None):
                found = self._computed()
            known = Statistics(*(new if old is None else old for old, new in zip(known, found or Statistics())))
        self.statistics = known

    def gaussian(self, which: str = 'features') -> Gaussian:
        """Return the Gaussian of the features or of the 'spatial' ones.

        Where several processes are at work, what has not been wanted before `prepare` cannot be asked for.
        """
        return self._part(which)

    def table(self) -> np.ndarray:
        """Return the features of all images, (N, D), float32; see `gaussian`."""
        return self._part('table')

    def made(self) -> Statistics:
        """Return all statistics of the images, and the table of features if it was wanted."""
        self.want('features')
        self.prepare()
        return self.statistics

    @cached_property
    def source(self) -> Source:
        """The file or the data set, opened."""
        if isinstance(self.given, dict):
            dataset, statistics, name = DATASETS.build(self.given), Statistics(), f'the data set {self.given["type"]}'
        else:
            path = resolve_checkpoint(self.given) if is_address(self.given) else Path(self.given).expanduser()
            dataset, statistics, name = *self._read(path), str(path)
        if dataset is not None:
            dataset = spread(dataset, self.num_images)
            if len(dataset) < 2:
                raise InputError(f'{name} has {len(dataset)} images: at least 2 are needed.')
        return Source(statistics, dataset, name)

    @property
    def advice(self) -> str:
        """What to do about statistics that cannot be used."""
        return (
            f'Make statistics of the images as {self.extractor.kind} sees them: mmcm statistics IMAGES '
            f'--extractor {self.extractor.kind} --out FILE.npz (for the kernel distance, precision and recall: '
            '--features).'
        )

    def _read(self, path: Path) -> tuple[Dataset | None, Statistics]:
        """Return the images and those of the statistics in a file that are of this extractor."""
        file = open_npz(path)
        dataset = DATASETS.build(dict(type='ImagePack', data_file=path, labelled=False)) if 'arr_0' in file else None
        statistics = read_statistics(file)
        if all(getattr(statistics, part) is None for part in PARTS):
            if dataset is None:
                raise InputError(
                    f'{path} holds {", ".join(file) or "no array"}: neither images (arr_0) nor statistics '
                    '(mu and sigma).'
                )
            return dataset, statistics
        if statistics.extractor is None:
            ours, kind = self.extractor.is_reference, REFERENCE
        else:
            ours, kind = statistics.extractor == self.extractor.fingerprint, statistics.kind
        if ours:
            table = statistics.table
            return dataset, statistics if table is None else statistics._replace(
                table=table[spread_indices(len(table), self.num_images)]
            )
        if dataset is None:
            others = (
                'an extractor of that kind with other weights' if kind == self.extractor.kind else (self.extractor.kind)
            )
            raise InputError(
                f'{path} holds statistics of the features of {kind}, and the images are to be seen by '
                f'{others}. {self.advice}'
            )
        return dataset, Statistics()

    def _part(self, part: str) -> Gaussian | np.ndarray:
        if part not in self.wanted:
            self.want(part)
            self.prepare()
        found = getattr(self.statistics, part)
        if found is None:
            raise InputError(f'{self.extractor.kind} makes no {part} features.')
        return found

    @cached_property
    def fingerprint(self) -> str | None:
        """What tells this reference from all others; None where its images do not say which they are."""
        statistics, images = self.source.statistics, self._images_fingerprint
        if all(getattr(statistics, part) is None for part in PARTS):
            return images
        if statistics.dataset is not None:
            return statistics.dataset
        # Those of others do not say of which images they are.
        sha = hashlib.sha256(f'{images}'.encode(errors='surrogateescape'))
        for gaussian in (statistics.features, statistics.spatial):
            for array in () if gaussian is None else (gaussian.mean, gaussian.covariance):
                sha.update(np.ascontiguousarray(array))
        return sha.hexdigest()

    @cached_property
    def _images_fingerprint(self) -> str | None:
        """What tells the images that are there from all others; None where they do not say."""
        dataset = self.source.dataset
        whole = dataset.dataset if isinstance(dataset, Subset) else dataset
        fingerprint = getattr(whole, 'fingerprint', None)
        if fingerprint is None or whole is dataset:
            return fingerprint
        return hashlib.sha256(f'{fingerprint} {len(dataset)}'.encode(errors='surrogateescape')).hexdigest()

    def _cache_files(self) -> dict[bool, Path]:
        """Return the files of this reference: whether with the table, and where."""
        key = hashlib.sha256(f'{self._images_fingerprint} {self.extractor.fingerprint}'.encode()).hexdigest()[:32]
        folder = cache_folder() / 'statistics'
        return {False: folder / f'{key}.npz', True: folder / f'{key}-features.npz'}

    def _cached(self) -> Statistics | None:
        """Return the statistics of these images that were computed before, None if there are none. Main process."""
        if not is_main_process() or self._images_fingerprint is None:
            return None
        path = self._cache_files()['table' in self.wanted]
        if not path.is_file():
            return None
        try:
            statistics = read_statistics(open_npz(path))
        except InputError as error:
            print_log(f'{error} They are computed anew.', 'current', logging.WARNING)
            return None
        ours = (statistics.dataset, statistics.extractor) == (self._images_fingerprint, self.extractor.fingerprint)
        return statistics if ours else None

    def _computed(self) -> Statistics | None:
        """Return the statistics of the images, on the main process, and keep them for later."""
        dataset = self.source.dataset
        if is_main_process():
            print_log(f'{self.extractor.kind} looks at the {len(dataset)} images of {self.source.name}.', 'current')
        gaussians = dict(features=RunningGaussian(), spatial=RunningGaussian())
        own, tables = dict(features=RunningGaussian(), spatial=RunningGaussian()), []
        error = None
        try:
            for features in self._extracted(dataset):
                for part, gaussian in own.items():
                    if getattr(features, part) is not None:
                        gaussian.update(getattr(features, part).flatten(1).numpy())
                if 'table' in self.wanted:
                    tables.append(features.features.flatten(1).float().numpy())
        except InputError as found:  # told to the others, who would wait for ever
            error = found
        all_tables, errors = [], []
        transparency = getattr(dataset.dataset if isinstance(dataset, Subset) else dataset, 'transparency', None)
        states = transparency and transparency.states
        for others, others_tables, others_error, others_states in from_each_process((own, tables, error, states)):
            errors += [others_error] * (others_error is not None)
            if transparency is not None:
                transparency.merge(others_states)
            if is_main_process():
                for part, gaussian in gaussians.items():
                    gaussian.merge(others[part])
                all_tables += others_tables
        if errors:
            raise errors[0]
        if not is_main_process():
            return None
        composited = transparency and transparency.described()
        if composited:
            print_log(f'{self.source.name}: {composited}', 'current')
        statistics = Statistics(
            **{part: gaussian.result() for part, gaussian in gaussians.items() if gaussian.num_images},
            table=np.concatenate(all_tables) if all_tables else None,
            kind=self.extractor.kind,
            extractor=self.extractor.fingerprint,
            dataset=self._images_fingerprint,
        )
        self._keep(statistics)
        return statistics

    def _extracted(self, dataset: Dataset) -> Iterator[Features]:
        """Yield the features of the share of the images that is this process's, batch by batch."""
        first, last = (len(dataset) * rank // get_world_size() for rank in (get_rank(), get_rank() + 1))
        loader = DataLoader(
            Subset(dataset, range(first, last)), BATCH_SIZE, num_workers=self.num_workers, collate_fn=stacked_images
        )
        with progress_bar('real images', len(loader), shown=is_main_process(), unit='batches') as step:
            for images in loader:
                yield self._extract(images)
                step()

    def _extract(self, images: Tensor) -> Features:
        try:
            return self.extractor.extract(images)
        except InputError as error:  # which says what is wrong with the images, but not whose they are
            raise InputError(f'the real images of {self.source.name}: {error}') from error

    def _keep(self, statistics: Statistics) -> None:
        """Write statistics to the cache, if it can be written to: they are there already, and are not lost."""
        if self._images_fingerprint is None:
            return
        try:
            for with_table, path in self._cache_files().items():
                make_folder(path.parent)
                if not with_table or statistics.table is not None:
                    write_statistics(path, statistics if with_table else statistics._replace(table=None))
        except InputError as error:
            print_log(f'The statistics of {self.source.name} are not kept: {error}', 'current', logging.WARNING)


_REFERENCES = WeakValueDictionary()


def shared_reference(source: dict | str | Path, extractor: dict, num_images: int | None = None) -> Reference:
    """Return the reference of these arguments: the same one to all who ask for the same, as long as one has it."""
    key = json.dumps((source, extractor, num_images), sort_keys=True, default=repr)
    reference = _REFERENCES.get(key)
    if reference is None:
        reference = _REFERENCES[key] = Reference(source, extractor, num_images)
    return reference


def check_reference(source: str) -> None:
    """Raise an InputError unless `source` is an address, or the path of a file."""
    path = Path(source).expanduser()
    if is_address(source) or (path.is_file() and path.suffix.lower() != '.zip'):
        return
    if path.exists():
        raise InputError(
            f'{source} is no npz file: make one of these images, mmcm statistics {source} --out FILE.npz, '
            'and name that one as the reference.'
        )
    raise InputError(
        f'there is no file {source}: a reference is the config of a data set, the path or address of an '
        f'npz file, or one of {", ".join(PUBLISHED)}.'
    )


def is_address(source: str | Path) -> bool:
    """Return whether `source` is an http or https address."""
    return str(source).lower().startswith(('http://', 'https://'))


def spread(dataset: Dataset, num_images: int | None) -> Dataset:
    """Return `num_images` items of `dataset`, evenly spread, since neighbours may be of one class."""
    if num_images is None or num_images >= len(dataset):
        return dataset
    return Subset(dataset, spread_indices(len(dataset), num_images))


def spread_indices(total: int, num_images: int | None) -> Sequence[int]:
    """Return `num_images` of the indices below `total`, evenly spread; all of them if there are not more."""
    if num_images is None or num_images >= total:
        return range(total)
    return [index * total // num_images for index in range(num_images)]


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
