"""Reference of metrics: statistics of real images in the features of an extractor."""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from mmcm.evaluation.features.shared import shared_extractor
from mmcm.evaluation.gaussian import Gaussian
from mmcm.evaluation.image_statistics import cached_statistics, compute_statistics, extract, stacked_images
from mmcm.evaluation.processes import from_main_process
from mmcm.evaluation.reference_source import (
    PUBLISHED,
    Source,
    advice,
    check_reference,
    is_address,
    open_source,
    spread_indices,
)
from mmcm.evaluation.statistics import Statistics
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError

__all__ = ['PUBLISHED', 'Reference', 'check_reference', 'is_address', 'shared_reference', 'spread_indices']


class Reference:
    """Statistics of real images in the features of an extractor.

    They are read from a file, or computed from images by all processes together and kept in the cache, where the same
    images seen by the same extractor are found again (`image_statistics`).

    Args:
        source (dict | str | Path): The config of a data set, whose `inputs` are uint8 (C, H, W), a name in `PUBLISHED`
            ('imagenet64', ...), or the path or address of an npz file: the output of `mmcm statistics`, images
            (`arr_0`), or a reference batch of Dhariwal & Nichol (2021). The statistics in a reference batch are used
            if the extractor is `InceptionV3`.
        extractor (dict): Config of the feature extractor.
        num_images (int, optional): Number of images to use, evenly spread over the data set; all by default.
        num_workers (int): Processes that read images.

    Raises:
        InputError: If there is no such file; at the first use, if it holds nothing of use, or statistics of another
            extractor.
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
        self.wanted: set[str] = set()
        self.statistics: Statistics | None = None

    @cached_property
    def source(self) -> Source:
        """The opened file or data set."""
        return open_source(self.given, self.extractor, self.num_images)

    @cached_property
    def fingerprint(self) -> str | None:
        """Digest that identifies this reference; None if its images have none."""
        statistics = self.source.statistics
        if statistics.is_empty:
            return self.source.fingerprint
        if statistics.dataset is not None:
            return statistics.dataset
        # Statistics from other programs do not identify their images.
        sha = hashlib.sha256(f'{self.source.fingerprint}'.encode(errors='surrogateescape'))
        for gaussian in (statistics.features, statistics.spatial):
            for array in () if gaussian is None else (gaussian.mean, gaussian.covariance):
                sha.update(np.ascontiguousarray(array).data)
        return sha.hexdigest()

    def want(self, part: str) -> None:
        """Request 'features' or 'spatial' (Gaussians) or the 'table' of features, before `prepare`."""
        self.wanted.add(part)

    def check_number(self, part: str, least: int, purpose: str) -> None:
        """Raise an InputError, which names the `purpose`, if fewer than `least` images are known for `part`."""
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
        """Raise an InputError if `part` needs the images and the first one does not fit the extractor."""
        source = self.source
        if self.statistics is None and getattr(source.statistics, part) is None and source.dataset is not None:
            extract(stacked_images([source.dataset[0]]), source, self.extractor)

    def check(self, part: str, size: int) -> None:
        """Raise an InputError if `part` cannot be had, or not with `size` dimensions."""
        known = self.source.statistics.size(part)
        if known is None and self.source.dataset is None:
            raise InputError(
                f'{self.source.name} has no {"spatial features" if part == "spatial" else "images"}, '
                f'nor what was made of them for this metric. {advice(self.extractor)}'
            )
        if known not in (None, size):
            raise InputError(
                f'{self.source.name} has statistics of {known} dimensions, and {self.extractor.kind} '
                f'makes {size} {"spatial " * (part == "spatial")}features. {advice(self.extractor)}'
            )

    def prepare(self) -> None:
        """Find or compute all requested parts. All processes have to call it; the main one has the result."""
        known = self.statistics or self.source.statistics
        if from_main_process(any(getattr(known, part) is None for part in self.wanted)):
            with_table = 'table' in self.wanted
            found = cached_statistics(self.source, self.extractor, with_table)
            if not from_main_process(found is not None):
                found = compute_statistics(self.source, self.extractor, with_table, self.num_workers)
            known = known.completed(found or Statistics())
        self.statistics = known

    def gaussian(self, which: str = 'features') -> Gaussian:
        """Return the Gaussian of the 'features' or of the 'spatial' ones.

        In a distributed run, it has to be requested by `want` before `prepare`.
        """
        return self._part(which)

    def table(self) -> np.ndarray:
        """Return the features of all images, (N, D), float32; see `gaussian`."""
        return self._part('table')

    def made(self) -> Statistics:
        """Return all statistics of the images, and the table of features if it was requested."""
        self.want('features')
        self.prepare()
        assert self.statistics is not None
        return self.statistics

    def _part(self, part: str) -> Any:
        if part not in self.wanted:
            self.want(part)
            self.prepare()
        found = getattr(self.statistics, part)
        if found is None:
            raise InputError(f'{self.extractor.kind} makes no {part} features.')
        return found


_REFERENCES: WeakValueDictionary[str, Reference] = WeakValueDictionary()


def shared_reference(source: dict | str | Path, extractor: dict, num_images: int | None = None) -> Reference:
    """Return the reference of these arguments; calls with equal arguments share one as long as it is in use."""
    key = json.dumps((source, extractor, num_images), sort_keys=True, default=repr)
    reference = _REFERENCES.get(key)
    if reference is None:
        reference = _REFERENCES[key] = Reference(source, extractor, num_images)
    return reference
