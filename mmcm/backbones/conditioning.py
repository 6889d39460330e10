"""Class labels and other conditions of a network: which are needed, and vectors of labels."""

import torch
from torch import Tensor

from mmcm.utils.errors import InputError


def check_labels(labels: Tensor | None, num_classes: int | None) -> None:
    """Raise an InputError unless labels are given exactly where the network has classes."""
    if (labels is None) != (num_classes is None):
        raise InputError(
            f'labels are needed: the network is class-conditional with {num_classes} classes.'
            if labels is None
            else 'labels were given, but the network is unconditional. Leave them out.'
        )


def class_vectors(labels: Tensor, num_classes: int, dtype: torch.dtype) -> Tensor:
    """Return labels as vectors, (N, num_classes): 1 at the class; zeros for the null class, of index `num_classes`.

    Args:
        labels (Tensor): Class indices, (N,), integers, or shares of the classes, (N, num_classes), floating point.
        num_classes (int): Number of classes.
        dtype (dtype): Of the result.
    """
    if labels.is_floating_point():
        return labels.to(dtype)
    classes = torch.arange(num_classes, dtype=labels.dtype, device=labels.device)
    return (labels[:, None] == classes).to(dtype)


def null_label_of(num_classes: int | None, null_class: bool) -> int | None:
    """Return the label of images whose class is not given, None without `null_class`.

    Raises:
        InputError: If `null_class` is set for a network without classes.
    """
    if null_class and num_classes is None:
        raise InputError('null_class=True is for class-conditional networks: set num_classes, or leave it out.')
    return num_classes if null_class else None
