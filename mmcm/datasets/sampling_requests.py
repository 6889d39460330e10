"""Images to be drawn, as a data set: MMEngine's own loops, loaders and samplers then do the rest."""

from collections.abc import Sequence
from numbers import Integral, Number

import torch
from torch.utils.data import Dataset

from mmcm.noise.generators import as_seed, sample_seeds, seeded
from mmcm.registry import DATASETS
from mmcm.structures import DataSample
from mmcm.utils.checks import has_length
from mmcm.utils.errors import InputError

LARGEST = 10**8  # requests, whose labels have to fit the memory
RULES = ('balanced', 'random')  # by which labels are chosen where nobody names them


@DATASETS.register_module()
class SamplingRequests(Dataset):
    """Requests i = 0 ... n - 1, each a `DataSample` with `sample_idx`, i, `sample_seed`, and, for conditional models,
    `gt_label`.

    Args:
        num_samples (int): How many images, n, at most 10^8.
        num_classes (int, optional): Number of classes; needed where `labels` is a rule.
        labels (str | int | Sequence[int], optional): 'balanced' (0, 1, 2, ... in turn), 'random' (by the seed), one
            label for all, a list that is repeated, or None for unconditional models.
        seed (int): Seed of the run; request i draws from the seed i + n * `seed`.
    """

    def __init__(
        self,
        num_samples: int,
        num_classes: int | None = None,
        labels: str | int | Sequence[int] | None = None,
        seed: int = 0,
    ) -> None:
        if not 1 <= num_samples <= LARGEST:
            raise InputError(f'num_samples has to be at least 1 and at most {LARGEST}, got {num_samples}.')
        if has_length(seed):
            raise InputError(f'the seed of a run has to be one integer, got {seed!r}.')
        self.seeds = sample_seeds(num_samples, seed)
        self.labels = request_labels(labels, num_samples, num_classes, seed)
        self.metainfo = dict(dataset_type='sampling_requests', num_classes=num_classes)

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: int) -> dict:
        """Return `data_samples`, the request."""
        label = None if self.labels is None else self.labels[index]
        return dict(data_samples=DataSample.of(label=label, sample_seed=self.seeds[index], sample_idx=index))


def request_labels(
    labels: str | int | Sequence[int] | None, num_samples: int, num_classes: int | None, seed: int | Sequence[int]
) -> list[int] | None:
    """Return the label of each of `num_samples` requests; see `SamplingRequests` for the rules.

    Random labels follow from the one `seed` of the run together, or each from the seed of its own request.
    """
    if labels is None:
        return None
    if isinstance(labels, str):
        if num_classes is None:
            raise InputError(f'labels={labels!r} needs num_classes, the number of classes of the model.')
        if labels == 'balanced':
            return [index % num_classes for index in range(num_samples)]
        if labels == 'random':
            seed = as_seed(seed)
            if isinstance(seed, list):
                return [label for each in seed for label in random_labels(num_classes, 1, each)]
            return random_labels(num_classes, num_samples, seed)
        raise InputError(f"labels has to be 'balanced', 'random', a label, a list of labels or None, got {labels!r}.")
    labels = [labels] if isinstance(labels, Number) else list(labels)
    if not labels:
        raise InputError('labels is an empty list: name at least one label, or none at all (None).')
    if not all(isinstance(label, Integral) for label in labels):
        raise InputError(f'labels have to be integers, got {labels}.')
    labels = [int(label) for label in labels]
    wrong = [label for label in labels if label < 0 or (num_classes is not None and label >= num_classes)]
    if wrong:
        known = '' if num_classes is None else f' The model knows the classes 0 to {num_classes - 1}.'
        raise InputError(f'label {wrong[0]} is out of range.{known}')
    return [labels[index % len(labels)] for index in range(num_samples)]


def random_labels(num_classes: int, number: int, seed: int) -> list[int]:
    """Return so many labels, each class equally likely, by a seed."""
    return torch.randint(num_classes, (number,), generator=seeded(seed), device='cpu').tolist()
