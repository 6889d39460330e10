"""Find the weights of a network in the checkpoint of another program.

Such a checkpoint may nest its state dicts (`ema`, `model_state_dict`, Lightning's `state_dict`), hold several of them,
put a prefix in front of all names (`module.` of DDP, `_orig_mod.` of torch.compile) and store NumPy arrays. The end of
a prefix is certain only if the names of the network, `wanted`, are known.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import torch
from mmengine.dist import is_main_process
from torch import Tensor

from mmcm.checkpoints.read import read_checkpoint
from mmcm.utils.errors import InputError, printable

ONLINE = 'online'  # the trained weights, as a choice beside the averages
LINE = 500  # characters of a note; keys of a file may be of any length
DEPTH = 6  # of state dicts in a checkpoint
MAX_TENSORS = 2**20  # of all state dicts together; the largest known network has 2000
ANYWHERE = re.compile(r'(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.')  # of wrapped modules
WRAPPERS = ('module', 'model', 'net', 'network', 'denoiser', 'unet', 'backbone', 'ema_model', 'diffusion_model')
AVERAGE = re.compile(r'emas?([_.-]?\d|_|$)|.*_ema$|averaged?(_|$)|avg|swa|shadow')
OTHERS = re.compile(r'(target|teacher|discriminator|critic|loss|opt(im\w*)?)(_|$)')  # networks that do not sample
BOOKKEEPING = frozenset(('n_averaged', 'initted', 'step', 'steps', 'num_updates', 'decay', 'epoch', 'global_step'))


class WeightSet(NamedTuple):
    """Weights of one network.

    Attributes:
        place (str): Where in the checkpoint they are: keys, and the prefix of the names.
        weights (dict[str, Tensor]): By the names that the network has for them.
        left_out (int): How many other tensors lie beside them.
    """

    place: str
    weights: dict[str, Tensor]
    left_out: int = 0

    @property
    def parts(self) -> list[str]:
        """The keys and the parts of the prefix."""
        return [part for part in re.split(r'[/.]', self.place) if part]

    @property
    def is_average(self) -> bool:
        """Whether the place says that it holds an average."""
        return any(AVERAGE.match(part) for part in self.parts)

    def is_called(self, name: str) -> bool:
        """Return whether a user may mean this set by `name`: its place, a part of it, or the decay of the average."""
        if name in (self.place, *self.parts):
            return True
        decays = [re.sub(r'^\D+', '', part).replace('_', '.') for part in (*self.parts, self.place)]
        return self.is_average and as_number(name) is not None and as_number(name) in map(as_number, decays)


def is_state_dict(content: Any) -> TypeGuard[Mapping[str, Tensor]]:
    """Return whether `content` is a mapping of names to tensors, and not an empty one."""
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items())
    )


def read_state_dict(path: str | Path) -> Mapping[str, Tensor]:
    """Return the weights in a file, which may have them under the key 'state_dict'. They are read when they are used.

    Raises:
        InputError: If the file cannot be read, or holds something else.
    """
    content = read_checkpoint(path, mapped=True)
    weights = content.get('state_dict', content) if isinstance(content, Mapping) else content
    if not is_state_dict(weights):
        raise InputError(f'{path} holds no state dict but {describe(content)}.')
    return unwrapped_names(weights)


def unwrapped_names(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return `weights` without the names that wrappers insert: of torch.compile and FSDP, and a leading `module.`."""
    weights = {ANYWHERE.sub('', key): value for key, value in weights.items()}
    while weights and all(key.startswith('module.') for key in weights):
        weights = {key[len('module.') :]: value for key, value in weights.items()}
    return weights


def state_dicts(content: Any) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield the place of each state dict in the content of a checkpoint, and its tensors by name.

    Raises:
        InputError: If they have more tensors than any needs, as a file in which a dictionary occurs often may.
    """
    total = 0
    for place, tensors in _state_dicts(content, (), 0):
        total += len(tensors)
        if total > MAX_TENSORS:
            raise InputError(
                f'the checkpoint has more than {MAX_TENSORS} tensors under its keys: save the state dict '
                'of the network alone.'
            )
        yield place, tensors


def _state_dicts(content: Any, keys: tuple[str, ...], depth: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
    if not isinstance(content, Mapping) or depth > DEPTH or not all(isinstance(key, str) for key in content):
        return
    tensors = {key: tensor for key, value in content.items() if (tensor := _tensor(value)) is not None}
    rest = [value for key, value in content.items() if key not in tensors]
    if tensors and all(value is None or isinstance(value, (bool, int, float, str)) for value in rest):
        yield '/'.join(keys), unwrapped_names(tensors)
        return
    for key, value in content.items():
        yield from _state_dicts(value, (*keys, key), depth + 1)


def find_sets(content: Any, wanted: Mapping[str, Tensor] | None, unused: tuple[str, ...] = ()) -> list[WeightSet]:
    """Return the sets of weights in a checkpoint that fit a network, in their order.

    Args:
        content (Any): Content of the checkpoint.
        wanted (Mapping[str, Tensor], optional): Weights of the network, for their names and shapes. None accepts every
            state dict, and removes known prefixes that all of its names share.
        unused (tuple[str, ...]): Prefixes of names that the network ignores.
    """
    if isinstance(content, Mapping) and 'ema_state_dict' in content and isinstance(content.get('meta'), Mapping):
        # MMEngine's EMAHook saves the averages as `state_dict`, and the trained weights as `ema_state_dict`.
        content = dict(state_dict=content.get('state_dict'))
    elif isinstance(content, Mapping) and 'message_hub' in content:
        # The log of MMEngine's training, which PlainLogHook writes as tensors, is no set of weights.
        content = {key: value for key, value in content.items() if key != 'message_hub'}
    found: list[WeightSet] = []
    for place, tensors in state_dicts(content):
        if wanted is None:
            prefix = _known_prefix(tensors)
            found.append(WeightSet(_joined(place, prefix), {key[len(prefix) :]: each for key, each in tensors.items()}))
        else:
            found += _sets_by_prefix(place, tensors, wanted, unused)
    if wanted is not None:
        fitting = [
            each for each in found if all(value.shape == wanted[key].shape for key, value in each.weights.items())
        ]
        found = fitting or found
    return found


def choose_set(sets: list[WeightSet], source: Any, name: str | None = None) -> WeightSet:
    """Return the set that `name` means: a part of its place, a decay, or 'online'; None prefers an average.

    If there was a choice, one line on stderr says which set was taken.

    Raises:
        InputError: If there is no such set, or several that it may mean.
    """
    averages = [each for each in sets if each.is_average]
    others = [each for each in sets if not each.is_average]
    networks = [each for each in others if not any(OTHERS.match(part) for part in each.parts)] or others
    if name is None:
        chosen = averages[:1] or networks
    elif len(sets) == 1 and not averages:
        raise InputError(f'{source} holds one set of weights and no averages: leave out the choice of {name!r}.')
    else:
        chosen = networks if name == ONLINE else [each for each in sets if each.is_called(name)]
    if not chosen:
        names = ', '.join(each.place or 'the top level' for each in sets)
        raise InputError(f'{source} has no average {name!r}; it has {names}.')
    if len(chosen) > 1 and not all(_same(chosen[0], each) for each in chosen[1:]):
        raise InputError(
            f'{source} holds {len(chosen)} sets of weights, and it is not clear which of them are meant: '
            f'choose one by --ema, {" or ".join(each.place for each in chosen)}.'
        )
    beside = [each.place for each in sets if each is not chosen[0] and each.place and name is None]
    rest = [f'--ema {" or ".join(beside)} (also of mmcm convert) takes others'] if beside else []
    rest += [f'{chosen[0].left_out} tensors of other networks are left out'] if chosen[0].left_out else []
    if rest:
        note(f'note: {source}: the weights under {chosen[0].place or "no key"} are taken; {"; ".join(rest)}')
    return chosen[0]


def describe(content: Any) -> str:
    """Describe the content of a checkpoint without named weights, for an error."""
    if not isinstance(content, Mapping):
        what = type(content).__name__
        return f'a {what}' + (': tensors need the names that the network has for them' if what == 'list' else '')
    keys = list(content)
    if {'state', 'param_groups'} <= set(keys):
        return f'the state of an optimiser (the keys {keys[:4]}): name the file of the weights beside it'
    if 'shadow_params' in keys:
        return (
            f'an average without names (the keys {keys[:4]}): in the program that it comes from, copy it to the '
            'network and save its state dict'
        )
    return f'the keys {keys[:4]}'


@cache
def note(text: str) -> None:
    """Print a line on stderr, once per process and only in the main one."""
    if is_main_process():
        print(printable(text[:LINE]), file=sys.stderr)


def _sets_by_prefix(
    place: str, tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], unused: tuple[str, ...]
) -> list[WeightSet]:
    """Return a set for each prefix behind which `tensors` has all names of `wanted`."""
    if not wanted:
        return []
    longest = max(wanted, key=len)
    prefixes = [key[: -len(longest)] for key in tensors if key == longest or key.endswith(f'.{longest}')]
    prefixes = [prefix for prefix in prefixes if all(prefix + key in tensors for key in wanted)]
    covered = {prefix + key for prefix in prefixes for key in wanted}
    ignored = tuple(prefix + name for prefix in prefixes for name in unused)
    rest = [key for key in tensors if key not in covered and key not in BOOKKEEPING and not key.startswith(ignored)]
    if rest and ('' in prefixes or 2 * len(covered) < len(tensors)):
        return []  # another network, a part of which has the names of this one
    return [
        WeightSet(_joined(place, prefix), {key: tensors[prefix + key] for key in wanted}, len(rest))
        for prefix in prefixes
    ]


def _known_prefix(tensors: Mapping[str, Any]) -> str:
    """Return the known prefixes that all names have, one behind the other."""
    prefix = ''
    while True:
        first = next((key[len(prefix) :].partition('.')[0] for key in tensors), '')
        longer = f'{prefix}{first}.'
        if first not in WRAPPERS or not all(key.startswith(longer) for key in tensors):
            return prefix
        prefix = longer


def _tensor(value: Any) -> Tensor | None:
    """Return a tensor, or a NumPy array as one; None of anything else."""
    if isinstance(value, np.ndarray) and value.dtype.kind in 'fiub':
        return torch.from_numpy(np.array(value, value.dtype.newbyteorder('='), order='C'))
    return value if isinstance(value, Tensor) else None


def _joined(place: str, prefix: str) -> str:
    return '/'.join(part for part in (place, prefix.rstrip('.')) if part)


def _same(a: WeightSet, b: WeightSet) -> bool:
    return a.weights.keys() == b.weights.keys() and all(
        value is b.weights[key] or (value.dtype == b.weights[key].dtype and torch.equal(value, b.weights[key]))
        for key, value in a.weights.items()
    )


def as_number(text: str) -> float | None:
    """Return the number that a text is, None if it is none."""
    try:
        return float(text)
    except ValueError:
        return None
