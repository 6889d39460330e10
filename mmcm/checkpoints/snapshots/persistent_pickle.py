"""Reader of network pickles of NVIDIA's programs (`torch_utils.persistence`) that runs nothing from the file.

Such a pickle holds the source of its classes, which the original reader executes. Here the source is dropped unread:
an object becomes a `PersistentObject` of the name of its class and its state. The program of the pickle is followed
before it runs (`check_pickle`), and then may call only the functions and classes of this module, in place of those that
it names. Tensors lie in it as files of `torch.save`, each of which is checked, and read by torch's restricted reader.
"""

import io
import math
import mmap
import pickle
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmcm.checkpoints.file_kinds import PICKLE
from mmcm.checkpoints.torch_files import STATES, check_array, check_array_state, check_legacy, extent
from mmcm.checkpoints.trusted_config import shown
from mmcm.utils.bounded import ENTRIES, Unreadable
from mmcm.utils.pickle_check import Check, ForeignName, Node, check_pickle

HEAD = 2**16  # bytes: the first object begins after a key or two
RECONSTRUCT = 'torch_utils.persistence._reconstruct_persistent_obj'
MARKS = tuple(part.encode() for part in RECONSTRUCT.rsplit('.', 1))
MODULE_DICT = 'torch.nn.modules.container.ModuleDict'
MAX_STORAGES = 8192  # each takes milliseconds; the largest known network has 2000
NUMBERS = 'fiub'  # kinds of NumPy's scalars
MAX_ARRAY = 1024  # values of an array of NumPy: the encoder of EDM2 has one for each channel of its latents
NDARRAY = 'numpy.ndarray'


class PersistentObject:
    """An object of a class whose source is in the file, or a container of torch's modules.

    Args:
        class_name (str): Name of its class.
        state (dict): Its attributes.
    """

    def __init__(self, class_name: str, state: dict[str, Any]) -> None:
        self.class_name = class_name
        self.state = state

    def part(self, name: str) -> dict[str, Any]:
        """Return the attribute `name`, which has to be a dictionary with names for keys, or is missing."""
        found = self.state.get(name, {})
        if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
            raise Unreadable(f'the {name} of its {shown(self.class_name)} is no dictionary of names')
        return found


def is_network_pickle(path: Path) -> bool:
    """Return whether a file is a pickle with persistent objects, by its content; nothing is unpickled."""
    with path.open('rb') as file:
        head = file.read(HEAD)
    return head.startswith(PICKLE) and all(mark in head for mark in MARKS)


def read_persistent_pickle(path: Path) -> Any:
    """Return what a network pickle holds: plain values, tensors and `PersistentObject`s.

    Raises:
        ForeignName: If it names a function or class that no such file needs.
        Unreadable: If it is damaged, or asks for more than it holds.
        OSError: If it cannot be read.
    """
    content: Any
    with path.open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        pickled = check_pickle(content, CALLABLES, lambda name: name == NDARRAY, BUILT)
        if pickled.persistent:
            raise Unreadable('its pickle expects objects beside it, which no file of this kind has')
        if content.tell() != len(content):
            raise Unreadable('something follows its pickle')
        content.seek(0)
        try:
            return _Unpickler(content, len(content)).load()
        except (Unreadable, OSError):
            raise
        # A damaged pickle is a damaged program, which may fail in any of these ways.
        except (
            pickle.UnpicklingError,
            ArithmeticError,
            AttributeError,
            EOFError,
            LookupError,
            MemoryError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            raise Unreadable(f'its pickle is damaged ({" ".join(str(error).split())[:100]})') from error


def state_dict(module: PersistentObject) -> dict[str, Tensor]:
    """Return the weights of a module and of all modules in it, in the order of torch's `state_dict`.

    Raises:
        Unreadable: If its parts are no modules and tensors, or there are more of them than any network has.
    """
    found: dict[str, Tensor] = {}
    for number, (key, value) in enumerate(_parts(module, '')):
        if number == ENTRIES:
            raise Unreadable(f'its network has more than {ENTRIES} modules and tensors')
        if value is not None:
            found[key] = value
    return found


def _parts(module: PersistentObject, prefix: str) -> Iterator[tuple[str, Tensor | None]]:
    """Yield the tensors of a module with their names, and None for each module; no deeper than MAX_DEPTH."""
    yield prefix, None
    hidden = module.state.get('_non_persistent_buffers_set', ())
    hidden = {key for key in hidden if isinstance(key, str)} if isinstance(hidden, (set, list, tuple)) else set()
    buffers = {key: value for key, value in module.part('_buffers').items() if key not in hidden}
    for key, value in (*module.part('_parameters').items(), *buffers.items()):
        if not isinstance(value, (Tensor, type(None))):
            raise Unreadable(f'its {shown(prefix + key)} is no tensor')
        yield f'{prefix}{key}', value
    for key, value in module.part('_modules').items():
        if isinstance(value, PersistentObject):
            yield from _parts(value, f'{prefix}{key}.')
        elif value is not None:
            raise Unreadable(f'its {shown(prefix + key)} is no module')


class _Dictionary(dict):
    """A dictionary in place of a subclass of it, whose items are attributes, too."""


class _ModuleDict(PersistentObject):
    """torch's container of modules, which is made without its state."""

    def __new__(cls) -> '_ModuleDict':
        made = super().__new__(cls)
        made.class_name, made.state = 'ModuleDict', {}
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state  # a dictionary: see `BUILT`


class _Dtype:
    """A dtype of NumPy, which may be that of a plain number."""

    def __init__(self, name: str, *_: Any) -> None:
        self.name, self.order = name, '='

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]  # see the checks of `BUILT`


class NumberArray:
    """A one-dimensional array of NumPy, as plain numbers.

    Attributes:
        values (list[float]): Its values.
    """

    def __init__(self, *_: Any) -> None:
        self.values: list[float] = []

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, _, content = state  # see the checks of `BUILT`
        if len(shape) != 1 or shape[0] > MAX_ARRAY:
            raise Unreadable(f'an array of NumPy in it has the shape {shown(shape)}')
        self.values = _numbers(dtype, content, shape[0])


class _Storage(NamedTuple):
    """Memory of `size` values of a dtype."""

    untyped: torch.UntypedStorage
    dtype: torch.dtype
    size: int


class _Unpickler(pickle.Unpickler):
    """Unpickler of a file of `size` bytes, which knows the names of `CALLABLES` alone."""

    def __init__(self, content: Any, size: int) -> None:
        super().__init__(content)
        self.left = size  # values that its tensors may still have
        self.storages: dict[int, tuple[bytes, _Storage]] = {}  # a storage that occurs again is the same
        self.known: dict[str, Any] = {
            RECONSTRUCT: _reconstruct,
            MODULE_DICT: _ModuleDict,
            'dnnlib.util.EasyDict': _Dictionary,
            'collections.OrderedDict': OrderedDict,
            'torch.storage._load_from_bytes': self._storage,
            'torch._utils._rebuild_tensor_v2': self._tensor,
            'torch._utils._rebuild_parameter': lambda data, requires_grad, hooks: data,
            'numpy.dtype': _Dtype,
            'numpy.core.multiarray.scalar': _scalar,
            'numpy._core.multiarray.scalar': _scalar,
            NDARRAY: NumberArray,
            **dict.fromkeys(ARRAYS, NumberArray),
        }

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name of the file; nothing is imported."""
        if f'{module}.{name}' not in self.known:
            raise ForeignName(f'{module}.{name}')
        return self.known[f'{module}.{name}']

    def _storage(self, content: Any) -> _Storage:
        if not isinstance(content, bytes):
            raise Unreadable('a storage in it is no bytes')
        if id(content) not in self.storages:
            if len(self.storages) == MAX_STORAGES:
                raise Unreadable(f'it has more than {MAX_STORAGES} storages')
            check_legacy(io.BytesIO(content), len(content))
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')  # of storages with a type, which this format has
                storage = torch.load(io.BytesIO(content), map_location='cpu', weights_only=True)
                if not isinstance(storage, torch.storage.TypedStorage):
                    raise Unreadable(f'a storage in it is a {type(storage).__name__}')
                found = _Storage(storage.untyped(), storage.dtype, storage.size())
            self.storages[id(content)] = content, found  # which keeps the bytes, and so their identity
        return self.storages[id(content)][1]

    def _tensor(
        self, storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, *more: Any
    ) -> Tensor:
        numbers = (offset, *size, *stride)
        if not isinstance(storage, _Storage) or not all(type(each) is int for each in numbers):
            raise Unreadable('a tensor in it is none')
        if min(numbers) < 0 or len(size) != len(stride) or math.prod(size) > self.left:
            raise Unreadable(f'its tensors have more values than the file has bytes, the last one {shown(size)}')
        if extent(offset, size, stride) > storage.size:
            raise Unreadable(f'a tensor in it of {shown(size)} values lies behind the {storage.size} of its storage')
        self.left -= math.prod(size)
        empty = torch.empty(0, dtype=storage.dtype, device='cpu')
        return empty.set_(storage.untyped, offset, tuple(size), tuple(stride))


def _reconstruct(meta: Any) -> PersistentObject:
    """Stand for the function of `torch_utils.persistence`, which runs `module_src`: here it is dropped."""
    name, state = (meta.get(key) if isinstance(meta, dict) else None for key in ('class_name', 'state'))
    if not isinstance(name, str) or not isinstance(state, dict):
        raise Unreadable('a persistent object in it has no class_name, or a state that is no dictionary')
    return PersistentObject(name, state)


def _scalar(dtype: Any, content: Any) -> float | int:
    """Return a NumPy scalar as a plain number."""
    return _numbers(dtype, content, 1)[0]


def _numbers(dtype: Any, content: Any, count: int) -> list[Any]:
    """Return the numbers of NumPy in `content` as plain ones; Unreadable unless there are `count`."""
    plain = isinstance(dtype, _Dtype) and isinstance(content, bytes)
    if not plain or dtype.name[:1] not in NUMBERS or len(content) != count * int(dtype.name[1:]):
        raise Unreadable('a number of NumPy in it is none')
    return np.frombuffer(content, np.dtype(dtype.order + dtype.name)).tolist()


def _check_number(arguments: list) -> str | None:
    whole = len(arguments) == 3 and isinstance(arguments[0], str) and arguments[0] in PLAIN_DTYPES
    return None if whole and arguments[2] in (True, 1) else 'a dtype that is no plain number'


def _check_state(state: list) -> str | None:
    return None if isinstance(state[0], Node) and state[0].kind == 'dict' else 'values that are no dictionary'


def _check_empty(arguments: list) -> str | None:
    return None if not arguments else 'arguments, where it takes none'


def _check_count(*counts: int) -> Check:
    return lambda arguments: None if len(arguments) in counts else f'{len(arguments)} arguments'


PLAIN_DTYPES = ('b1', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'f2', 'f4', 'f8')
ARRAYS = ('numpy.core.multiarray._reconstruct', 'numpy._core.multiarray._reconstruct')
CALLABLES: Mapping[str, Check | None] = {
    RECONSTRUCT: _check_count(1),
    MODULE_DICT: _check_empty,
    'dnnlib.util.EasyDict': _check_empty,
    'collections.OrderedDict': _check_empty,
    'torch.storage._load_from_bytes': _check_count(1),
    'torch._utils._rebuild_tensor_v2': _check_count(6, 7),
    'torch._utils._rebuild_parameter': _check_count(3),
    'numpy.dtype': _check_number,
    'numpy.core.multiarray.scalar': _check_count(2),
    'numpy._core.multiarray.scalar': _check_count(2),
    **dict.fromkeys(ARRAYS, check_array),
}
BUILT: Mapping[str, Check | None] = {
    MODULE_DICT: _check_state,
    'numpy.dtype': STATES['numpy.dtype'],
    **dict.fromkeys(ARRAYS, check_array_state),
}
