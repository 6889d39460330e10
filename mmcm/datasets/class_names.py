"""Names of classes, from 'king penguin' to label 145."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from mmcm.datasets.cifar import CIFAR10_CLASSES, CIFAR100_CLASSES
from mmcm.datasets.imagenet9 import GROUPS as IMAGENET9
from mmcm.datasets.mnist import CLASSES as MNIST
from mmcm.utils.errors import InputError
from mmcm.utils.nearest import nearest

Names = tuple[tuple[str, ...], ...]  # for each class its names, the preferred one first


@cache
def imagenet1k() -> Names:
    """Return WordNet's names of the 1000 classes of ILSVRC 2012, sorted by wnid."""
    lines = (Path(__file__).parent / 'data' / 'imagenet1k_classes.txt').read_text(encoding='utf-8').splitlines()
    return tuple(tuple(name.strip() for name in line.split(',')) for line in lines)


MOST_LISTED = 20  # names in an error
LISTS: dict[str, Callable[[], Names]] = dict(
    imagenet1k=imagenet1k,
    imagenet9=lambda: tuple((name,) for name in IMAGENET9),
    cifar10=lambda: tuple((name,) for name in CIFAR10_CLASSES),
    cifar100=lambda: tuple((name,) for name in CIFAR100_CLASSES['fine']),
    mnist=lambda: tuple((name,) for name in MNIST),
)


def class_names(source: str | Sequence[str]) -> Names:
    """Return the names of classes.

    Args:
        source (str | Sequence[str]): `class_names` of a config: 'imagenet1k', 'imagenet9', 'cifar10', 'cifar100',
            'mnist', or the name of each class.

    Raises:
        InputError: If there is no such list.
    """
    if isinstance(source, str):
        if source not in LISTS:
            raise InputError(f'class_names has to be {", ".join(LISTS)} or a list of names, got {source!r}.')
        return LISTS[source]()
    return tuple((name,) for name in source)


def own_names(classes: Sequence[str]) -> list[str]:
    """Return the names of the classes of a data set, or none if they are only numbers, 0, 1, ..."""
    return [] if all(name == str(label) for label, name in enumerate(classes)) else list(classes)


def label_of(name: str, names: Names) -> int:
    """Return the label of the class `name`, in any case; the preferred name of a class takes precedence.

    Raises:
        InputError: If no class has the name (the message suggests the nearest names), or more than one has.
    """
    wanted = name.strip().lower()
    preferred = [label for label, (first, *_) in enumerate(names) if first.lower() == wanted]
    found = preferred or [label for label, others in enumerate(names) if wanted in map(str.lower, others)]
    if not found:
        known = [other for others in names for other in others]
        near = nearest(name, known) or (f'; there are {", ".join(known)}' if len(known) <= MOST_LISTED else '')
        raise InputError(f'no class is called {name!r}{near}; or give its number')
    if len(found) > 1:
        raise InputError(f'{name!r} is the name of the classes {" and ".join(map(str, found))}: give the number.')
    return found[0]
