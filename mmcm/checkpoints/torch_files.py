"""Check of a file of `torch.save` before `torch.load` reads it.

`torch.load(weights_only=True)` runs no code of a file, but trusts the sizes that the file declares: it unpacks
compressed records whole, allocates what a storage declares, and reads as many bytes of a record as the pickle names.
This module follows the pickles of the zip file, or of the older format, by `check_pickle`, and checks that storages
and records lie in the file.
"""

import io
import math
import mmap
import os
import re
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch

from mmcm.utils.bounded import Unreadable, data_start, open_directory
from mmcm.utils.pickle_check import Check, ForeignName, Long, Node, Pickled, check_pickle, is_plain

ZIP, LEGACY = b'PK\x03\x04', 0x1950A86A20F9469CFC6C  # how the two formats begin; the second is a pickled number
END, END64 = struct.Struct('<4s4H2LH'), struct.Struct('<4sLQL')  # of a zip: its end, and what points at a larger one
# Values that tensors may have beyond those of their storages: the largest parameter known has 19 million. A value of 8
# or 16 bytes counts as 2 or 4.
EXPANDED = 2**25
SHARED = 2  # times that all storages may be used in full: weights that layers share, such as embeddings, occur again
ITEM_SIZES = dict(  # bytes of a value; an untyped storage has bytes
    UntypedStorage=1,
    BoolStorage=1,
    ByteStorage=1,
    CharStorage=1,
    ShortStorage=2,
    IntStorage=4,
    LongStorage=8,
    HalfStorage=2,
    BFloat16Storage=2,
    FloatStorage=4,
    DoubleStorage=8,
    ComplexFloatStorage=8,
    ComplexDoubleStorage=16,
)
NOTHING: dict[str, Check | None] = {}


def check_torch_file(path: Path) -> None:
    """Raise Unreadable if `torch.load(path, weights_only=True)` could take more memory than a few times the file.

    Raises:
        ForeignName: If it names what no checkpoint needs.
        Unreadable: If it is no file of `torch.save`, damaged, or asks for more than it holds.
        OSError: If it cannot be read.
    """
    with path.open('rb') as file:
        start = file.read(len(ZIP))
        if start == ZIP:
            _check_zip(path, file)
        elif start:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                check_legacy(content, len(content))
        else:
            raise Unreadable('it is empty')


def _check_zip(path: Path, file: BinaryIO) -> None:
    entries = open_directory(path)
    _check_layout(file, entries)
    sizes = {entry.filename: entry.file_size for entry in entries}
    pickles = [entry for entry in entries if re.fullmatch(r'[^/]+/data\.pkl', entry.filename)]
    if len(pickles) != 1:
        raise Unreadable(f'it has {len(pickles)} pickles of the name data.pkl')
    (entry,) = pickles
    file.seek(data_start(file, entry))
    pickled = check_torch_pickle(io.BytesIO(file.read(entry.file_size)))
    folder = entry.filename[: -len('data.pkl')]
    for key, size in storages(pickled.persistent).items():
        found = sizes.get(f'{folder}data/{key}')
        if found is None or size > found:
            raise Unreadable(f'its storage {key} declares {size} bytes, and has {found}')


def _check_layout(file: BinaryIO, entries: list[zipfile.ZipInfo]) -> None:
    """Refuse compressed records, and a zip that torch could read as other records than Python does."""
    names = {entry.filename.lower() for entry in entries}  # torch looks them up so
    if len(names) < len(entries):
        raise Unreadable('two of its records share a name')
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size or entry.flag_bits & 1:
            raise Unreadable(f'its record {entry.filename!r} is compressed or encrypted, and torch.save writes none so')
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - END.size - END64.size))
    tail = file.read()
    end, pointer = tail[-END.size :], tail[: -END.size]
    if len(tail) < END.size + END64.size or not end.startswith(b'PK\x05\x06'):
        raise Unreadable('something follows its directory')
    _, _, _, _, _, length, offset, _ = END.unpack(end)
    stop = size - END.size
    if pointer.startswith(b'PK\x06\x07'):
        stop -= END64.size + 56  # where the larger end begins
        _, _, place, _ = END64.unpack(pointer)
        file.seek(max(0, stop))
        larger = file.read(56)
        if place != stop or not larger.startswith(b'PK\x06\x06'):
            raise Unreadable('its directory ends elsewhere than it says')
        length, offset = struct.unpack_from('<2Q', larger, 40)
    if offset + length != stop:
        raise Unreadable('its directory lies elsewhere than it says')


def check_legacy(content: Any, size: int) -> None:
    """Raise Unreadable if torch's older format, a stream of `size` bytes, asks for more than it holds; see above."""
    try:
        start = check_pickle(content, NOTHING, lambda name: False, NOTHING).value
    except ForeignName:
        raise
    except Unreadable:
        start = None
    if start != LEGACY:
        raise Unreadable('it begins as no file of torch.save does')
    for _ in ('the protocol', 'the system'):
        check_pickle(content, NOTHING, lambda name: False, NOTHING)
    pickled = check_torch_pickle(content)
    keys = check_pickle(content, NOTHING, lambda name: False, NOTHING).value
    if not isinstance(keys, Node) or keys.kind != 'list' or not all(isinstance(key, str) for key in keys.items):
        raise Unreadable('it has no list of storages')
    declared = storages(pickled.persistent)
    if set(keys.items) != set(declared):
        raise Unreadable('its list of storages is not that of its tensors')
    needed, left = sum(declared.values()) + 8 * len(declared), size - content.tell()
    if needed > left:
        raise Unreadable(f'its storages declare {needed} bytes, and {left} are there')


def check_torch_pickle(stream: BinaryIO) -> Any:
    """Follow the pickle of a checkpoint; see `check_pickle`."""
    callables = {**CALLABLES, **dict.fromkeys(_let_through() - set(CALLABLES))}
    states = {**STATES, **dict.fromkeys(_let_through() - set(CALLABLES))}
    pickled = check_pickle(stream, callables, _is_type, states)
    _check_values(pickled)
    return pickled


def _check_values(pickled: Pickled) -> None:
    """Raise Unreadable if the tensors together have more values than their storages lead to expect.

    A tensor that occurs again counts again, as it does where tensors are copied or written.
    """
    stored = {key: _weight(size // item, item) for key, size, item in map(_storage, pickled.persistent)}
    limit = SHARED * sum(stored.values()) + EXPANDED
    measured: dict[int, int] = {}

    def values(node: Any) -> int:  # which recurs no deeper than MAX_DEPTH: check_pickle has looked
        if not isinstance(node, Node):
            return 0
        if id(node) not in measured:
            measured[id(node)] = _tensor_values(node) + sum(map(values, node.items))
        return measured[id(node)]

    found = values(pickled.value)
    if found > limit:
        raise Unreadable(
            f'its tensors have {found} values together, more than {limit}, of storages of {sum(stored.values())}'
        )


def _tensor_values(node: Node) -> int:
    """Return the number of values of the tensor that a call makes; 0 if it makes none."""
    if node.kind != 'call':
        return 0
    name, arguments = node.items[0].name, node.items[1].items
    if name == TYPED:
        name, arguments = arguments[0].name, arguments[2].items
    if REBUILD.get(name) is not _check_tensor:
        return 0
    return _weight(math.prod(_sizes(arguments[2]) or ()), _storage(arguments[0])[2])


def _weight(values: int, item: int) -> int:
    return values * max(1, item // 4)


def storages(persistent: list[Node]) -> dict[str, int]:
    """Return the bytes that each storage of a checkpoint is to have, by its key."""
    found: dict[str, int] = {}
    for node in persistent:
        key, size = _storage(node)[:2]
        if found.setdefault(key, size) != size:
            raise Unreadable(f'its storage {key} declares two sizes, {found[key]} and {size} bytes')
    return found


def _storage(node: Any) -> tuple[str, int, int]:
    """Return the key of a storage, its bytes and the bytes of one of its values."""
    identity = node.items[0] if isinstance(node, Node) and node.kind == 'persistent' else None
    parts = identity.items if isinstance(identity, Node) and identity.kind == 'tuple' else []
    if (
        len(parts) not in (5, 6)
        or parts[0] != 'storage'
        or not _is_global(parts[1])
        or not isinstance(parts[2], str)
        or not isinstance(parts[3], str)
        or not _is_size(parts[4])
    ):
        raise Unreadable('its pickle has a storage that is none')
    item = _item_size(parts[1].name)
    view = parts[5] if len(parts) == 6 else None  # of the older format: key, offset and size of a part of a storage
    if view is not None and not (
        isinstance(view, Node)
        and view.kind == 'tuple'
        and len(view.items) == 3
        and isinstance(view.items[0], str)
        and all(map(_is_size, view.items[1:]))
        and sum(view.items[1:]) <= parts[4]
    ):
        raise Unreadable('its pickle has a view of a storage that is none')
    return parts[2], parts[4] * item, item


def _item_size(name: str) -> int:
    if not _is_storage(name):
        raise Unreadable(f'its pickle has a storage of type {name}')
    return ITEM_SIZES[name.rpartition('.')[2]]


def _is_storage(name: str) -> bool:
    module, _, kind = name.rpartition('.')
    return module in ('torch', 'torch.storage') and kind in ITEM_SIZES


def _is_type(name: str) -> bool:
    """Return whether a name is that of a storage, a dtype or another type that checkpoints contain."""
    return (
        _is_storage(name)
        or name in TYPES
        or (name.startswith('torch.') and isinstance(vars(torch).get(name[len('torch.') :]), torch.dtype))
    )


def _let_through() -> set[str]:
    """Return the names that the user allows by `torch.serialization.add_safe_globals`."""
    found: list[Any] = getattr(torch.serialization, 'get_safe_globals', list)()
    return {f'{item.__module__}.{item.__qualname__}' for item in found if not isinstance(item, tuple)} | {
        item[1] for item in found if isinstance(item, tuple)
    }


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_global(value: Any, *names: str) -> bool:
    return isinstance(value, Node) and value.kind == 'global' and (not names or value.name in names)


def _sizes(value: Any) -> list[int] | None:
    """Return the sizes in a tuple or torch.Size, None if it is no such thing."""
    if isinstance(value, Node) and value.kind == 'call' and _is_global(value.items[0], 'torch.Size'):
        value = value.items[1].items[0]
    if not isinstance(value, Node) or value.kind != 'tuple' or not all(map(_is_size, value.items)):
        return None
    return value.items


def _check_tensor(arguments: list) -> str | None:
    """Of storage, offset, sizes and strides, which all versions begin with."""
    if len(arguments) < 4:
        return 'too few arguments'
    _, size, item = _storage(arguments[0])
    sizes, strides = _sizes(arguments[2]), _sizes(arguments[3])
    if not _is_size(arguments[1]) or sizes is None or strides is None or len(sizes) != len(strides):
        return 'an offset, sizes or strides that are none'
    if math.prod(sizes) > max(size // item, EXPANDED):
        return f'{sizes} values of a storage of {size // item}'
    if extent(arguments[1], sizes, strides) > size // item:
        return f'{sizes} values that lie behind the {size // item} of its storage'
    return None


def extent(offset: int, sizes: Sequence[int], strides: Sequence[int]) -> int:
    """Return the values that the storage of a tensor has to have: torch would make a smaller one larger."""
    if 0 in sizes:
        return offset
    return offset + 1 + sum((size - 1) * stride for size, stride in zip(sizes, strides))


def _check_typed(arguments: list) -> str | None:
    """Of a tensor with attributes: the function that makes it, its type, the arguments of that, its state."""
    if (
        len(arguments) != 4
        or not _is_global(arguments[0])
        or arguments[0].name not in REBUILD
        or not isinstance(arguments[2], Node)
        or arguments[2].kind != 'tuple'
    ):
        return 'arguments that are none'
    check = REBUILD[arguments[0].name]
    return check(arguments[2].items) if check else None


def _check_mapping(arguments: list) -> str | None:
    whole = not arguments or (len(arguments) == 1 and isinstance(arguments[0], Node) and arguments[0].kind == 'dict')
    return None if whole else 'arguments that are no dictionary'


def _check_set(arguments: list) -> str | None:
    whole = not arguments or (
        len(arguments) == 1 and isinstance(arguments[0], Node) and all(map(is_plain, arguments[0].items))
    )
    return None if whole else 'values that are not plain'


def _check_encode(arguments: list) -> str | None:
    whole = len(arguments) == 2 and isinstance(arguments[0], (str, Long)) and arguments[1] == 'latin1'
    return None if whole else 'another encoding than latin1'


def _check_dtype(arguments: list) -> str | None:
    whole = len(arguments) == 3 and isinstance(arguments[0], str) and re.fullmatch('[fiub][1248]', arguments[0])
    return None if whole and arguments[2] in (True, 1) else 'a dtype that is no plain number'


def _check_dtype_state(state: list) -> str | None:
    items = state[0].items if isinstance(state[0], Node) and state[0].kind == 'tuple' else []
    whole = len(items) == 8 and items[1] in ('<', '>', '|', '=') and items[2:] == [None, None, None, -1, -1, 0]
    return None if whole else 'fields'


def check_array(arguments: list) -> str | None:
    """Return what is wrong with the arguments of NumPy's arrays, which are made empty and get values as a state."""
    whole = len(arguments) == 3 and _is_global(arguments[0], 'numpy.ndarray') and _sizes(arguments[1]) == [0]
    return None if whole else 'a shape that is not empty'


def check_array_state(state: list) -> str | None:
    """Return what is wrong with the state of an array of NumPy, None if nothing is."""
    items = state[0].items if isinstance(state[0], Node) and state[0].kind == 'tuple' else []
    whole = (
        len(items) == 5
        and _sizes(items[1]) is not None
        and _made_by(items[2], 'numpy.dtype')
        and (isinstance(items[4], (bytes, Long)) or _made_by(items[4], '_codecs.encode'))
    )
    return None if whole else 'values that are no array'


def _check_scalar(arguments: list) -> str | None:
    whole = len(arguments) == 2 and _made_by(arguments[0], 'numpy.dtype')
    return None if whole else 'a value that is no number'


def _check_statistic(arguments: list) -> str | None:
    whole = len(arguments) == 2 and _is_global(arguments[0], HISTORY) and isinstance(arguments[1], str)
    return None if whole else 'attributes that no training log needs'


def _made_by(value: Any, name: str) -> bool:
    return isinstance(value, Node) and value.kind == 'call' and value.items[0].name == name


TYPED = 'torch._tensor._rebuild_from_type_v2'
HISTORY = 'mmengine.logging.history_buffer.HistoryBuffer'
TYPES = frozenset(('torch.Tensor', 'torch._tensor.Tensor', 'torch.nn.parameter.Parameter', 'numpy.ndarray', HISTORY))
REBUILD: Mapping[str, Check | None] = {
    'torch._utils._rebuild_tensor': _check_tensor,
    'torch._utils._rebuild_tensor_v2': _check_tensor,
    'torch._utils._rebuild_tensor_v3': _check_tensor,
    'torch._utils._rebuild_parameter': None,
    'torch._utils._rebuild_parameter_with_state': None,
}
# What a checkpoint may call: tensors, plain containers, and the log of MMEngine (see safe_globals).
CALLABLES: Mapping[str, Check | None] = {
    **REBUILD,
    TYPED: _check_typed,
    'torch.Size': lambda arguments: None if len(arguments) == 1 and _sizes(arguments[0]) is not None else 'no sizes',
    'torch.device': None,
    'torch.serialization._get_layout': None,
    'collections.OrderedDict': _check_mapping,
    'collections.Counter': _check_mapping,
    '_codecs.encode': _check_encode,
    **{
        f'{module}.{name}': check
        for module in ('builtins', '__builtin__')
        for name, check in (('set', _check_set), ('complex', None), ('getattr', _check_statistic))
    },
    HISTORY: None,
    'numpy.dtype': _check_dtype,
    **{
        f'{package}.multiarray.{name}': check
        for package in ('numpy.core', 'numpy._core')
        for name, check in (('_reconstruct', check_array), ('scalar', _check_scalar))
    },
}
STATES: Mapping[str, Check | None] = {
    'collections.OrderedDict': None,
    'collections.Counter': None,
    HISTORY: None,
    'numpy.dtype': _check_dtype_state,
    **{f'{package}.multiarray._reconstruct': check_array_state for package in ('numpy.core', 'numpy._core')},
}
