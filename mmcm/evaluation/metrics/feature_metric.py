"""Metrics that look at drawn images through the features of a network."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.evaluator import BaseMetric

from mmcm.evaluation.features.base import Features
from mmcm.evaluation.features.shared import shared_extractor
from mmcm.evaluation.metrics.deduplicate import CountedOnce
from mmcm.evaluation.processes import from_each_process, from_main_process
from mmcm.evaluation.reference import Reference
from mmcm.utils.errors import InputError


class ExtractingMetric(BaseMetric):
    """A metric of what a network makes of each drawn image.

    What is made of an image enters a state and is forgotten, so that metrics whose state does not grow need no more
    memory for more images. Each process has its own; they are merged in the end, and each request, known by its
    `sample_idx`, counts once. Images without a `sample_idx` count as they come.

    A metric says what it measures of each image (`measure`), how that is counted (`empty`, `count`) and what follows
    (`compute_metrics`).

    Args:
        extractor (dict, optional): Config of the feature extractor; None for metrics that do without.
        reference (Reference, optional): The real images; None for metrics that do without.
        prefix (str, optional): Prefix of the metric's name.
    """

    names = {}  # what the field calls the values, where they are computed as by the reference evaluator
    least = 1  # images, drawn and real ones each, without which there is no value
    part = 'features'  # of the reference, see `Statistics`

    def __init__(self, extractor: dict | None, reference: Reference | None = None, prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        self.extractor = None if extractor is None else shared_extractor(extractor)
        self.reference = reference
        self.begin()

    @property
    def titles(self) -> dict[str, str]:
        """Names of the field for the values, by their full names; none where others than the reference extract."""
        if self.extractor is None or not self.extractor.is_reference:
            return {}
        return {f'{self.prefix}/{key}': name for key, name in self.names.items()}

    @abstractmethod
    def measure(self, data_samples: Sequence[dict[str, Any]]) -> np.ndarray:
        """Return what counts of each image, (N, ...); an InputError where it cannot be told."""

    @abstractmethod
    def empty(self) -> Any:
        """Return the state before any image; it has `merge(other)`."""

    @abstractmethod
    def count(self, state: Any, values: np.ndarray, positions: np.ndarray) -> None:
        """Add what `measure` has returned, for images that have their place at `positions` (N,), to a state."""

    def check_ahead(self, num_drawn: int) -> None:
        """Raise an InputError if there will be no value for so many drawn images, or for the real ones.

        It is for those who know the number before anything is drawn.
        """
        name = type(self).__name__
        if num_drawn < self.least:
            raise InputError(
                f'{name} needs at least {self.least} images to measure, got {num_drawn}: take more of '
                'them, or leave the metric out.'
            )
        if self.reference is not None:
            self.reference.check_number(self.part, self.least, name)
            self.reference.check_first(self.part)

    def begin(self) -> None:
        """Forget all images."""
        self.once = CountedOnce()
        self.state = self.empty()

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Count the images of a batch."""
        new = self.once.add(self.measure(data_samples), [sample.get('sample_idx') for sample in data_samples])
        self.count(self.state, *new)

    def evaluate(self, size: int | None = None) -> dict[str, float]:
        """Return the values under their full names, for the images that all processes have drawn, and begin anew.

        Raises:
            InputError: In all processes, if there is something wrong with the images or the reference.
        """
        if self.reference is not None:
            self.reference.prepare()
        merged, error = self.merged()
        values = {}
        if is_main_process() and error is None:
            try:
                values = {f'{self.prefix}/{key}': value for key, value in self.compute_metrics(merged).items()}
            except InputError as found:  # told to the others, who would wait for ever
                error = str(found)
        values, error = from_main_process((values, error))
        self.begin()
        if error is not None:
            raise InputError(error)
        return values

    def merged(self) -> tuple[Any, str | None]:
        """Return the state of all processes and what is wrong with it, if anything, on the main process."""
        merged, counted, repeated, waiting = self.empty(), set(), set(), []
        for state, once in from_each_process((self.state, self.once)):
            if is_main_process():
                merged.merge(state)
                repeated |= counted & once.counted()
                counted |= once.counted()
                waiting.append(once.waiting)
        for last in waiting:
            if last is not None and not counted.issuperset(last.positions.tolist()):
                counted.update(last.positions.tolist())
                self.count(merged, *last)
        if repeated:
            return merged, (
                f'{len(repeated)} images were drawn by several processes, the one with sample_idx '
                f'{min(repeated)} for example: the sampler of the loader has to deal them out, as '
                'DefaultSampler does.'
            )
        if is_main_process() and not counted:
            return merged, f'{type(self).__name__} has got no images to measure.'
        return merged, None

    def extract_drawn(self, data_samples: Sequence[dict[str, Any]]) -> Features:
        """Return the features of the images that were drawn for `data_samples`."""
        return self.extractor.extract_drawn(data_samples)

    def extract_field(self, data_samples: Sequence[dict[str, Any]], field: str) -> np.ndarray:
        """Return one field of the features, (N, ...); an InputError if the extractor does not make it."""
        values = getattr(self.extract_drawn(data_samples), field)
        if values is None:
            raise InputError(f'{type(self).__name__} needs {field}, which {self.extractor.kind} does not make.')
        return values.flatten(1).numpy()
