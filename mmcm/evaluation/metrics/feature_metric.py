"""Base of metrics of the generated images in the features of a network."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.evaluator import BaseMetric

from mmcm.evaluation.features.base import Features
from mmcm.evaluation.features.shared import SharedExtractor, shared_extractor
from mmcm.evaluation.metrics.deduplicate import Deduplicator
from mmcm.evaluation.processes import from_each_process, from_main_process
from mmcm.evaluation.reference import Reference
from mmcm.renamed import old_names, renamed_member
from mmcm.utils.errors import InputError

__getattr__ = old_names(__name__)


class FeatureMetric(BaseMetric):
    """A metric of a value that is measured of each generated image.

    The value of an image is added to a state and forgotten, so a metric whose state does not grow needs no more memory
    for more images. Each process has its own state; they are merged in the end, and each request, identified by its
    `sample_idx`, counts once. Images without a `sample_idx` count as they come.

    A subclass defines the value of an image (`measure`), the state (`empty`, `count`) and the result
    (`compute_metrics`).

    Args:
        extractor (dict, optional): Config of the feature extractor; None if the metric needs none.
        reference (Reference, optional): The real images; None if the metric needs none.
        prefix (str, optional): Prefix of the metric's name.
    """

    names: Mapping[str, str] = MappingProxyType(
        {}
    )  # the field's names for values computed as by the reference evaluator
    least = 1  # smallest number of generated and of real images
    part = 'features'  # of the reference, see `Statistics`

    def __init__(self, extractor: dict | None, reference: Reference | None = None, prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        self.extractor: SharedExtractor | None = None if extractor is None else shared_extractor(extractor)
        self.reference = reference
        self.begin()

    @property
    def titles(self) -> dict[str, str]:
        """The field's names for the values, by their full names; empty with another extractor than the reference."""
        if self.extractor is None or not self.extractor.is_reference:
            return {}
        return {f'{self.prefix}/{key}': name for key, name in self.names.items()}

    @abstractmethod
    def measure(self, data_samples: Sequence[dict[str, Any]]) -> np.ndarray:
        """Return the value of each image, (N, ...); raise an InputError if there is none."""

    @abstractmethod
    def empty(self) -> Any:
        """Return the state without images; it has `merge(other)`."""

    @abstractmethod
    def count(self, state: Any, values: np.ndarray, positions: np.ndarray) -> None:
        """Add `values` from `measure`, of the images at `positions` (N,), to a state."""

    def check_ahead(self, num_generated: int) -> None:
        """Raise an InputError, before sampling, if there are too few generated or real images."""
        name = type(self).__name__
        if num_generated < self.least:
            raise InputError(
                f'{name} needs at least {self.least} images to measure, got {num_generated}: take more of '
                'them, or leave the metric out.'
            )
        if self.reference is not None:
            self.reference.check_number(self.part, self.least, name)
            self.reference.check_first(self.part)

    def begin(self) -> None:
        """Forget all images."""
        self.once = Deduplicator()
        self.state = self.empty()

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Count the images of a batch."""
        new = self.once.add(self.measure(data_samples), [sample.get('sample_idx') for sample in data_samples])
        self.count(self.state, *new)

    def evaluate(self, size: int | None = None) -> dict[str, float]:
        """Return the values of the images of all processes under their full names, and start over.

        Raises:
            InputError: In all processes, if the images or the reference are at fault.
        """
        if self.reference is not None:
            self.reference.prepare()
        merged, error = self.merged()
        values = {}
        if is_main_process() and error is None:
            try:
                values = {f'{self.prefix}/{key}': value for key, value in self.compute_metrics(merged).items()}
            except InputError as found:  # sent to the other processes, which would wait forever
                error = str(found)
        values, error = from_main_process((values, error))
        self.begin()
        if error is not None:
            raise InputError(error)
        return values

    def merged(self) -> tuple[Any, str | None]:
        """Return the state of all processes and its fault, if any, on the main process."""
        merged, waiting = self.empty(), []
        counted: set[int] = set()
        repeated: set[int] = set()
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
                f'{len(repeated)} images were generated by several processes, the one with sample_idx {min(repeated)} '
                'for example: the sampler of the loader has to deal them out, as DefaultSampler does.'
            )
        if is_main_process() and not counted:
            return merged, f'{type(self).__name__} has got no images to measure.'
        return merged, None

    def extract_samples(self, data_samples: Sequence[dict[str, Any]]) -> Features:
        """Return the features of the images in `data_samples`."""
        assert self.extractor is not None
        return self.extractor.extract_samples(data_samples)

    extract_drawn = renamed_member('extract_drawn', 'extract_samples')

    def extract_field(self, data_samples: Sequence[dict[str, Any]], field: str) -> np.ndarray:
        """Return one field of the features, (N, ...); raise an InputError if the extractor lacks it."""
        values = getattr(self.extract_samples(data_samples), field)
        if values is None:
            assert self.extractor is not None
            raise InputError(f'{type(self).__name__} needs {field}, which {self.extractor.kind} does not make.')
        return values.flatten(1).numpy()
