"""Class labels of a request: numbers, names of classes, or a rule that chooses a label for each image."""

import re
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from mmcm.datasets.class_names import Names, label_of
from mmcm.noise.generators import as_seed, seeded
from mmcm.structures import as_labels
from mmcm.utils.checks import as_list, has_length
from mmcm.utils.errors import InputError
from mmcm.utils.finite import check_given

RULES = ('balanced', 'random')
UNCONDITIONAL = 'labels were given, but the model is unconditional. Leave them out.'


def resolve_classes(
    labels: Any, num_classes: int | None, names: Names = (), most: int | None = None
) -> list[int] | str | None:
    """Return the classes of a request: numbers, or a rule, by default 'random'; None for an unconditional model.

    Raises:
        InputError: If they do not fit the model, or there are more of them than `most`, the number of images.
    """
    if num_classes is None:
        if labels is not None:
            raise InputError(UNCONDITIONAL)
        return None
    classes = class_numbers('random' if labels is None else labels, num_classes, names)
    if not isinstance(classes, str) and most is not None and len(classes) > most:
        raise InputError(f'{len(classes)} labels are too many for {most} images.')
    return classes


def class_numbers(labels: Any, num_classes: int | None, names: Names | None = None) -> list[int] | str:
    """Return the class numbers that `labels` means, or the rule of `RULES` that it names.

    Args:
        labels (Sequence | Tensor | int | str): Classes by number or by name, one or several; or a rule.
        num_classes (int, optional): Number of classes; None where it is not known.
        names (Names, optional): Names of the classes, () where classes have only numbers. Without them, words other
            than a rule are refused.

    Raises:
        InputError: If a class does not exist, or `labels` is empty.
    """
    labels = as_list('labels', labels) if has_length(labels) else [labels]
    if not labels:
        raise InputError('labels is an empty list: name at least one label, or none at all (None).')
    if len(labels) == 1 and isinstance(labels[0], str) and labels[0] in RULES:
        if num_classes is None:
            raise InputError(f'labels={labels[0]!r} needs num_classes, the number of classes of the model.')
        return labels[0]
    if names is not None:
        labels = [class_number(label, num_classes, names) for label in labels]
    if not all(isinstance(label, Integral) for label in labels):
        raise InputError(f'labels have to be integers, or {" or ".join(map(repr, RULES))}, got {labels}.')
    numbers = [int(label) for label in labels]
    check_range(numbers, num_classes)
    return numbers


def class_number(label: Any, num_classes: int | None, names: Names) -> Any:
    """Return the number of the class that `label`, a number or a name, means; a number is returned unchecked."""
    if isinstance(label, Tensor):
        label = label.item()
    if not isinstance(label, str):
        return label
    if re.fullmatch(r'\s*-?[0-9]+\s*', label):
        return int(label)
    if not names:
        raise InputError(
            f'no class is called {label!r}: the classes of this model have no names, only the numbers '
            f'0 to {(num_classes or 1) - 1}. Give a number, or list the names as class_names in the config.'
        )
    return label_of(label, names)


def check_range(labels: Sequence[int], num_classes: int | None) -> None:
    """Raise an InputError unless all `labels` are numbers of classes."""
    wrong = [label for label in labels if label < 0 or (num_classes is not None and label >= num_classes)]
    if wrong:
        known = '' if num_classes is None else f' The model knows the classes 0 to {num_classes - 1}.'
        raise InputError(f'label {wrong[0]} is out of range.{known}')


def expand_labels(
    classes: Sequence[int] | str, num_images: int, num_classes: int | None, seed: int | Sequence[int]
) -> list[int]:
    """Return the label of each image, from what `class_numbers` returns.

    Args:
        classes (Sequence[int] | str): Numbers, which are repeated; 'balanced' (0, 1, 2, ... in turn); or 'random'.
        num_images (int): Number of images.
        num_classes (int, optional): Number of classes; needed for rules.
        seed (int | Sequence[int]): Seed of the request, from which all random labels follow; or the seed of each image,
            from which its own label follows.
    """
    if not isinstance(classes, str):
        return [classes[index % len(classes)] for index in range(num_images)]
    assert num_classes is not None, 'class_numbers returns a rule only with a number of classes'
    if classes == 'balanced':
        return [index % num_classes for index in range(num_images)]
    if isinstance(seed, Sequence):
        return [label for each in seed for label in random_labels(num_classes, 1, each)]
    return random_labels(num_classes, num_images, seed)


def request_labels(
    labels: str | int | Sequence[int] | None, num_samples: int, num_classes: int | None, seed: int | Sequence[int]
) -> list[int] | None:
    """Return the label of each of `num_samples` images, None for None; see `class_numbers` and `expand_labels`."""
    if labels is None:
        return None
    return expand_labels(class_numbers(labels, num_classes), num_samples, num_classes, as_seed(seed))


def random_labels(num_classes: int, number: int, seed: int) -> list[int]:
    """Return `number` labels by a seed, each class equally likely."""
    return torch.randint(num_classes, (number,), generator=seeded(seed), device='cpu').tolist()


def check_labels(
    labels: Tensor | Sequence[int] | int | None, num_samples: int, num_classes: int | None
) -> Tensor | None:
    """Return the labels of a batch as the network takes them: int64, (N,), None for an unconditional model.

    Shares of the classes, floating point (N, K), are returned unchanged: they are mixtures of labels.

    Raises:
        InputError: If they do not fit the number of samples, or the model.
    """
    if num_classes is None:
        if labels is not None:
            raise InputError(UNCONDITIONAL)
        return None
    if labels is None:
        raise InputError(f'the model is class-conditional: give a label in [0, {num_classes - 1}] per image.')
    labels = as_labels(labels)
    if labels.is_floating_point():
        if labels.shape != (num_samples, num_classes):
            raise InputError(
                f'labels have to be integers, or shares of the classes of shape ({num_samples}, '
                f'{num_classes}), got {labels.dtype} of shape {tuple(labels.shape)}.'
            )
        check_given('shares of the classes', labels)
        return labels
    labels = labels.long().reshape(-1)
    if len(labels) == 1:
        labels = labels.expand(num_samples)
    if len(labels) != num_samples:
        raise InputError(f'one label per image is needed, or one for all: got {len(labels)} for {num_samples}.')
    if not labels.is_cuda:  # labels on a device come from our own data sets; reading them would wait for the device
        check_range(labels.tolist(), num_classes)
    return labels
