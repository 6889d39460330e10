"""Collation of training samples into a batch."""

from collections.abc import Sequence

import torch

from mmcm.registry import FUNCTIONS
from mmcm.structures import DataSample
from mmcm.utils.errors import InputError


@FUNCTIONS.register_module()
def stack_samples(samples: dict | Sequence[dict]) -> dict:
    """Stack images and labels.

    Args:
        samples (Sequence[dict] | dict): Each with `inputs`, an image (C, H, W), and, where it has a class, `gt_label`,
            an int. The result of a batched fetch (`__getitems__`) is one dictionary, already stacked.

    Returns:
        dict: `inputs`, (N, C, H, W), and `data_samples`, one DataSample for the whole batch: making and moving one per
        image would cost more than the images of small models.
    """
    if isinstance(samples, dict):
        return dict(inputs=samples['inputs'], data_samples=DataSample.of(label=samples['gt_label']))
    labels = [sample['gt_label'] for sample in samples if sample.get('gt_label') is not None]
    if 0 < len(labels) < len(samples):
        raise InputError(f'{len(labels)} of {len(samples)} images have a label: all of a data set have to, or none.')
    images = [sample['inputs'] for sample in samples]
    shapes = {tuple(image.shape): None for image in images}
    if len(shapes) > 1:
        (_, height, width), (_, other_height, other_width) = list(shapes)[:2]
        raise InputError(
            f'images of one batch have {width} x {height} and {other_width} x {other_height} pixels: crop '
            'or scale them to one size in the pipeline, for example by CenterCropToSquare.'
        )
    return dict(
        inputs=torch.stack(images),
        data_samples=DataSample.of(label=torch.tensor(labels, dtype=torch.int64, device='cpu') if labels else None),
    )
