"""`DataSample`: label, seed and pixels of an image, requested or sampled, under MMagic's field names."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement, LabelData
from torch import Tensor


class DataSample(BaseDataElement):
    """One image, or a batch of them, under MMagic's field names.

    Fields in use:
        gt_label (LabelData): Its `label` is the class, an int64 tensor of shape (1,), or (N,) for a batch.
        sample_idx (int): Index among the requested images, so that processes can merge their results.
        sample_seed (int): Seed of the noise that the image is sampled from.
        fake_img (Tensor): The sampled image, uint8 RGB, (C, H, W).
    """

    @classmethod
    def of(cls, label: int | Tensor | None = None, **fields) -> 'DataSample':
        """Make a sample with `label` (None: no label) and further fields."""
        if label is not None:
            fields['gt_label'] = LabelData(label=as_labels(label).to(torch.int64).reshape(-1))
        return cls(**fields)

    def __getitem__(self, field: str) -> Any:
        """Return a field; MMagic's metrics read samples so."""
        return getattr(self, field)


def labels_of(data_samples: BaseDataElement | Sequence[BaseDataElement] | None) -> Tensor | None:
    """Return the labels of a batched sample, or of one sample per image, as one tensor (N,); None if there are none."""
    if data_samples is None:
        return None
    if isinstance(data_samples, BaseDataElement):
        data_samples = [data_samples]
    labels = [sample.gt_label.label for sample in data_samples if 'gt_label' in sample]
    return torch.cat(labels) if labels else None


def as_labels(labels: Tensor | Sequence[int] | int) -> Tensor:
    """Return `labels` as a tensor: a tensor stays on its device, other values come to the CPU."""
    return labels if isinstance(labels, Tensor) else torch.as_tensor(labels, device='cpu')
