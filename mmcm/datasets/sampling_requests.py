"""Requests for images as a data set, so that MMEngine's loops, loaders and samplers can sample from a model."""

from collections.abc import Sequence

from torch.utils.data import Dataset

from mmcm.datasets.labels import RULES, random_labels, request_labels
from mmcm.noise.generators import sample_seeds
from mmcm.registry import DATASETS
from mmcm.structures import DataSample
from mmcm.utils.checks import has_length
from mmcm.utils.errors import InputError

__all__ = ['RULES', 'SamplingRequests', 'random_labels', 'request_labels']

LARGEST = 10**8  # requests, whose labels have to fit the memory


@DATASETS.register_module()
class SamplingRequests(Dataset):
    """Requests i = 0 ... n - 1, each a `DataSample` with `sample_idx`, i, and `sample_seed`.

    Those for conditional models also have `gt_label`.

    Args:
        num_samples (int): Number of images, n, at most 10^8.
        num_classes (int, optional): Number of classes; needed where `labels` is a rule.
        labels (str | int | Sequence[int], optional): 'balanced' (0, 1, 2, ... in turn), 'random' (by the seed), one
            label for all, a list that is repeated, or None for unconditional models.
        seed (int): Seed of the run; request i has the seed i + n * `seed`.
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
