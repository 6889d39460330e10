"""The weights of a checkpoint, fitted to a model: each network gets all of its weights, or the run does not start."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mmcm.checkpoints.formats.training_checkpoint import average_label
from mmcm.checkpoints.weights import differences
from mmcm.models.consistency_model import ConsistencyModel
from mmcm.utils.errors import InputError, first_of

ONLINE, NETWORK = 'denoiser', 'denoiser.backbone.'


class FittedWeights:
    """From the weights of any training checkpoint to those of a model.

    The target and the averages that the checkpoint lacks are copies of the online weights. A run that is resumed has
    the teacher and the state of the objective that are in the checkpoint. One that starts has the teacher that its
    config names; its objective goes on from what the checkpoint has for it, or starts in its initial state.

    Args:
        model (ConsistencyModel): The model.
        expected (Mapping[str, torch.Size]): Names and shapes of all its weights.
        source (str): What errors call the checkpoint.
        resumed (bool): Whether the run is resumed.

    Attributes:
        notes (list[str]): What was copied, what starts anew, and what was left out.
        other_teacher (bool): Whether a resumed run has another teacher than the one that its config names.
    """

    def __init__(self, model: ConsistencyModel, expected: Mapping[str, torch.Size], source: str, resumed: bool) -> None:
        self.model = model
        self.expected = by_part(expected)
        self.source = source
        self.resumed = resumed
        self.notes: list[str] = []
        self.other_teacher = False

    def fit(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights that the model takes from the checkpoint.

        Raises:
            InputError: If a network is another one than in the model, or the run cannot be resumed with this model.
        """
        found = by_part(weights)
        self._check_online(found[ONLINE])
        fitted, copied, anew = {ONLINE: found[ONLINE]}, [], []
        for part in (part for part in self.expected if part != ONLINE):
            if part == 'teacher' and (not self.resumed or part not in found):
                continue  # the one that the config names is read already
            difference = '; '.join(differences(self.expected[part], found.get(part, {})))
            if is_follower(part) and part not in found:
                fitted[part] = found[ONLINE]
                copied.append(self._called(part))
            elif not difference:
                fitted[part] = found[part]
            elif self.resumed or is_network(part):
                raise self._refused(f'does not have all of {self._called(part)} of this run: {difference}')
            else:
                anew.append(self._called(part))
        if 'teacher' in fitted and self.model.teacher is not None:
            # Not its state_dict: FSDP would take the teacher for the whole model then.
            own = dict([*self.model.teacher.named_parameters(), *self.model.teacher.named_buffers()])
            self.other_teacher = any(
                not torch.equal(value, own.get(key, value).cpu()) for key, value in fitted['teacher'].items()
            )  # names in shards are others, and not compared
        left_out = [part for part in found if part not in fitted]
        if self.resumed and not all(map(is_network, left_out)):
            names = [f'{part}.{key}' for part in left_out if not is_network(part) for key in found[part]]
            raise self._refused(f'has the state of another objective, {first_of(names)}')
        self._note(
            copied,
            '{} start as copies of the online weights' if copied[1:] else '{} starts as a copy of the online weights',
        )
        self._note(anew, '{} starts anew')
        self._note(
            [self._called(part) for part in left_out if part not in self.expected],
            '{} left out, as the model of the config keeps none',
        )
        self._note(
            [self._called(part) for part in left_out if part == 'teacher' and part in self.expected],
            '{} left out, as model.teacher names one',
        )
        return {f'{part}.{key}': value for part, values in fitted.items() for key, value in values.items()}

    def _check_online(self, found: Mapping[str, Tensor]) -> None:
        difference = '; '.join(differences(self.expected[ONLINE], found))
        if not difference:
            return
        embedding = found.get('backbone.label_emb.weight')
        classes = None if embedding is None else len(embedding)
        way = 'Choose the config that belongs to the checkpoint'
        if classes != self.model.num_classes:
            way += f', or set model.denoiser.backbone.num_classes={classes}, as there'
        if not self.resumed:
            way += f"; to take what fits: model.init_from=dict(checkpoint='{self.source}', partial=True) for load_from"
        raise InputError(
            f'{self.source} is not a checkpoint of this {type(self.model.denoiser.backbone).__name__}: '
            f'{difference.replace("backbone.", "")}. {way}.'
        )

    def _called(self, part: str) -> str:
        """Return what messages call a part of the model."""
        if part == 'objective':
            return f'the state of the objective {type(self.model.objective).__name__}'
        return f'the average {average_label(part[len("emas.") :])}' if part.startswith('emas.') else f'the {part}'

    def _note(self, names: list[str], text: str) -> None:
        if names:
            self.notes.append(text.format(' and '.join(names)))

    def _refused(self, problem: str) -> InputError:
        again = ' and another --work-dir, in place of --resume' if self.resumed else ' in place of load_from'
        return InputError(
            f'{self.source} {problem}. To start from its weights alone, set model.init_from={self.source}{again}.'
        )


def is_follower(part: str) -> bool:
    """Return whether a part of the model is an average of the online network."""
    return part == 'target' or part.startswith('emas.')


def is_network(part: str) -> bool:
    """Return whether a part of the model is a network that the denoiser is another copy of."""
    return part in (ONLINE, 'teacher') or is_follower(part)


def by_part(weights: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return weights, or their shapes, by the parts of a model: 'denoiser', 'target', 'emas.0_999', 'objective', ..."""
    parts: dict[str, dict[str, Any]] = {}
    for key, value in weights.items():
        names = key.split('.')
        size = 2 if names[0] == 'emas' else 1
        parts.setdefault('.'.join(names[:size]), {})['.'.join(names[size:])] = value
    return parts
