"""References by name of an evaluator: the training images of the config, or those that it holds out."""

from collections.abc import Callable
from typing import Any

from mmcm.datasets.derived_configs import held_out, unmirrored
from mmcm.utils.errors import InputError

TRAINING_DATA = 'train'
HELD_OUT = 'held_out'
DERIVED: dict[str, Callable[[dict], dict]] = {TRAINING_DATA: unmirrored, HELD_OUT: held_out}
Named = Callable[[str, dict | None], dict | str]  # (reference, config of the extractor) -> reference


def with_references(evaluator: Any, dataset: dict | None, named: Named | None = None, setting: str = '') -> Any:
    """Return the config `evaluator` with data sets in place of the references 'train' and 'held_out'.

    Args:
        evaluator (dict | list): Config of an evaluator or of its metrics, at any depth.
        dataset (dict, optional): Config of the training data.
        named (Callable, optional): What becomes of other references; they stay if None.
        setting (str): Name of the evaluator in messages.

    Raises:
        InputError: If there are no such data.
    """

    def resolved(part: Any, extractor: dict | None = None) -> Any:
        if isinstance(part, (list, tuple)):
            return [resolved(each, extractor) for each in part]
        if not isinstance(part, dict):
            return part
        extractor = part.get('extractor') or extractor
        part = {key: resolved(value, extractor) if key == 'metrics' else value for key, value in part.items()}
        reference = part.get('reference')
        if isinstance(reference, str) and reference in DERIVED:
            if not isinstance(dataset, dict):
                what = 'the training data' if reference == TRAINING_DATA else 'what the training holds out'
                raise InputError(
                    f'reference={reference!r} in {setting} is {what}, and the config '
                    'has no train_dataloader.dataset: name the real images.'
                )
            part['reference'] = DERIVED[reference](dataset)
        elif named is not None and not (reference is None or isinstance(reference, dict)):
            part['reference'] = named(str(reference), extractor)
        return part

    return resolved(evaluator)
