"""Which row of a checkpoint's class embedding each class of another model starts from."""

from collections.abc import Sequence

from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.config import released_config
from mmcm.datasets.class_names import LISTS, Names, class_names, label_of
from mmcm.utils.errors import InputError
from mmcm.zoo import lookup

IMAGENET = 1000  # as many classes as those of ILSVRC 2012 are taken for them where nothing else is known


def choose_rows(
    num_classes: int,
    num_rows: int,
    classes: Sequence[int | str | None] | None = None,
    names: Names = (),
    their_names: Names = (),
) -> tuple[list[int | None], str]:
    """Return the row of each class, None for a new class, and the rule in words.

    Classes are matched by name where both sides have names. Without them, the classes of the checkpoint are taken to be
    the first of those of the model, if it has as many or more; if it has fewer, all of its classes are new, since
    nothing says which of them were left out.

    Args:
        num_classes (int): Classes of the model.
        num_rows (int): Classes of the checkpoint.
        classes (Sequence, optional): For each class of the model the one of the checkpoint, as a number, a name or
            None; in place of the rules above.
        names (Names): Names of the model's classes; empty if they have none.
        their_names (Names): Names of the checkpoint's classes; empty if they have none.

    Raises:
        InputError: If `classes` does not fit.
    """
    if classes is not None:
        if len(classes) != num_classes:
            raise InputError(
                f'model.init_from.classes has {len(classes)} entries for the {num_classes} classes of the model: give '
                'one for each, the number or name of a class of the checkpoint, or None for a new class.'
            )
        return [_row(each, num_rows, their_names) for each in classes], 'as given'
    if names and their_names:
        return [_named(each, their_names) for each in names], 'by name'
    if num_classes >= num_rows:
        return [*range(num_rows), *[None] * (num_classes - num_rows)], 'by number'
    return [None] * num_classes, 'by number'


def names_in(checkpoint: Checkpoint | None, num_rows: int) -> Names:
    """Return the names of the classes of a checkpoint; empty where it has none."""
    if checkpoint is None:
        return ()
    released = lookup(str(checkpoint))
    found = checkpoint.class_names if released is None else released_config(released).get('class_names')
    if found is None and num_rows == IMAGENET:
        found = 'imagenet1k'
    if found is None or (isinstance(found, str) and found not in LISTS):
        return ()
    names = class_names(found)
    return names if len(names) == num_rows else ()


def _row(given: int | str | None, num_rows: int, names: Names) -> int | None:
    if given is None:
        return None
    if isinstance(given, str):
        if not names:
            raise InputError(
                f'model.init_from.classes has the name {given!r}, and the checkpoint does not name its classes: give '
                f'numbers from 0 to {num_rows - 1}.'
            )
        return label_of(given, names)
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given < num_rows:
        raise InputError(
            f'model.init_from.classes has to hold numbers from 0 to {num_rows - 1}, names or None, got {given!r}.'
        )
    return given


def _named(names: Sequence[str], others: Names) -> int | None:
    """Return the class of `others` that has one of `names`; None if there is none, or it is not clear."""
    for name in names:
        try:
            return label_of(name, others)
        except InputError:
            continue
    return None
