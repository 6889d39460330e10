"""How training samples become a batch."""
from collections.abc import Sequence

import torch

from mmcm.registry import FUNCTIONS
from mmcm.structures import DataSample
from mmcm.utils.errors import InputError


@FUNCTIONS.register_module()
def stack_samples(samples: Sequence[dict]) -> dict:
    """Stack images and labels.

    Args:
        samples (Sequence[dict]): Each with `inputs`, an image (C, H, W), and, where it has a class, `gt_label`, an int.

    Returns:
        dict: `inputs`, (N, C, H, W), and `data_samples`, one DataSample for the whole batch: making and moving one for
        every image would cost more than the images of small models do.
    """
    labels = [sample['gt_label'] for sample in samples if sample.get('gt_label') is not None]
    if 0 < len(labels) < len(samples):
        raise InputError(f'{len(labels)} of {len(samples)} images have a label: all of a data set have to, or none.')
    return dict(
        inputs=torch.stack([sample['inputs'] for sample in samples]),
        data_samples=DataSample.of(label=torch.tensor(labels) if labels else None))
