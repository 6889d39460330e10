"""Sources of real images: a data set, a file of images or statistics, or a published reference batch."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch.utils.data import Dataset, Subset

from mmcm.checkpoints import resolve_checkpoint
from mmcm.datasets.image_dataset import ImageDataset
from mmcm.evaluation.features.shared import REFERENCE, SharedExtractor
from mmcm.evaluation.statistics import Statistics, read_statistics
from mmcm.registry import DATASETS
from mmcm.utils.errors import InputError
from mmcm.utils.npz import open_npz

BATCHES = 'https://openaipublic.blob.core.windows.net/diffusion/jul-2021/ref_batches'
PUBLISHED = dict(  # by Dhariwal & Nichol (2021): statistics of the data, and 10 000 of the images
    imagenet64=f'{BATCHES}/imagenet/64/VIRTUAL_imagenet64_labeled.npz',
    imagenet256=f'{BATCHES}/imagenet/256/VIRTUAL_imagenet256_labeled.npz',
    imagenet512=f'{BATCHES}/imagenet/512/VIRTUAL_imagenet512.npz',
    lsun_bedroom256=f'{BATCHES}/lsun/bedroom/VIRTUAL_lsun_bedroom256.npz',
    lsun_cat256=f'{BATCHES}/lsun/cat/VIRTUAL_lsun_cat256.npz',
)


@dataclass(frozen=True)
class Source:
    """Real images, their statistics, or both.

    Attributes:
        statistics (Statistics): Statistics in the file; empty if it has none, or those of another extractor.
        dataset (ImageDataset | Subset, optional): The images.
        name (str): Name of the source in messages.
    """

    statistics: Statistics
    dataset: ImageDataset | Subset | None
    name: str

    @property
    def whole(self) -> Dataset | None:
        """The data set that the images were chosen from."""
        return self.dataset.dataset if isinstance(self.dataset, Subset) else self.dataset

    @cached_property
    def fingerprint(self) -> str | None:
        """Digest that identifies the images; None if the data set has none."""
        fingerprint = getattr(self.whole, 'fingerprint', None)
        if fingerprint is None or not isinstance(self.dataset, Subset):
            return fingerprint
        return hashlib.sha256(f'{fingerprint} {len(self.dataset)}'.encode(errors='surrogateescape')).hexdigest()


def open_source(given: dict | str, extractor: SharedExtractor, num_images: int | None) -> Source:
    """Open `num_images` images of a source (None: all), and those of its statistics that are of `extractor`.

    Raises:
        InputError: If there are fewer than 2 images, or the file has nothing of use.
    """
    if isinstance(given, dict):
        dataset, statistics, name = DATASETS.build(given), Statistics(), f'the data set {given["type"]}'
    else:
        path = resolve_checkpoint(given) if is_address(given) else Path(given).expanduser()
        dataset, statistics, name = *read_file(path, extractor, num_images), str(path)
    if dataset is not None:
        dataset = spread(dataset, num_images)
        if len(dataset) < 2:
            raise InputError(f'{name} has {len(dataset)} images: at least 2 are needed.')
    return Source(statistics, dataset, name)


def read_file(path: Path, extractor: SharedExtractor, num_images: int | None) -> tuple[ImageDataset | None, Statistics]:
    """Return the images in a file, and those of its statistics that are of `extractor`."""
    file = open_npz(path)
    dataset = DATASETS.build(dict(type='ImagePack', data_file=path, labelled=False)) if 'arr_0' in file else None
    statistics = read_statistics(file)
    if statistics.is_empty:
        if dataset is None:
            raise InputError(
                f'{path} holds {", ".join(file) or "no array"}: neither images (arr_0) nor statistics (mu and sigma).'
            )
        return dataset, statistics
    kind: str | None
    if statistics.extractor is None:
        ours, kind = extractor.is_reference, REFERENCE
    else:
        ours, kind = statistics.extractor == extractor.fingerprint, statistics.kind
    if ours:
        table = statistics.table
        if table is not None:
            statistics = statistics._replace(table=table[spread_indices(len(table), num_images)])
        return dataset, statistics
    if dataset is None:
        expected = 'an extractor of that kind with other weights' if kind == extractor.kind else extractor.kind
        raise InputError(
            f'{path} holds statistics of the features of {kind}, and the images are to be seen by '
            f'{expected}. {advice(extractor)}'
        )
    return dataset, Statistics()


def advice(extractor: SharedExtractor) -> str:
    """Return how to replace statistics that cannot be used."""
    return (
        f'Make statistics of the images as {extractor.kind} sees them: mmcm statistics IMAGES '
        f'--extractor {extractor.kind} --out FILE.npz (for the kernel distance, precision and recall: --features).'
    )


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


def spread(dataset: ImageDataset, num_images: int | None) -> ImageDataset | Subset:
    """Return `num_images` items of `dataset`, evenly spread, since neighbours may be of one class."""
    if num_images is None or num_images >= len(dataset):
        return dataset
    return Subset(dataset, spread_indices(len(dataset), num_images))


def spread_indices(total: int, num_images: int | None) -> Sequence[int]:
    """Return `num_images` of the indices below `total`, evenly spread; all of them if there are not more."""
    if num_images is None or num_images >= total:
        return range(total)
    return [index * total // num_images for index in range(num_images)]
