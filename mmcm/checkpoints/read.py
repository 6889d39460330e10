"""Read files of weights, and nothing but weights.

Files are read by safetensors, by torch's restricted unpickler, or, snapshots of EDM, by one of our own: code in a file
is refused, or passed over, and never run.
"""

import math
import os
import pickle
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from mmcm.checkpoints.file_kinds import SAFETENSORS_HEADER, is_pickled, is_safetensors, is_zip, what_it_is
from mmcm.checkpoints.safe_globals import allow_history_buffers, supports_training_checkpoints
from mmcm.checkpoints.snapshots.edm_snapshot import Snapshot
from mmcm.checkpoints.snapshots.persistent_pickle import is_network_pickle
from mmcm.checkpoints.torch_files import check_torch_file
from mmcm.utils.bounded import Unreadable
from mmcm.utils.errors import InputError
from mmcm.utils.pickle_check import ForeignName

CONVERTED = (torch.float64, torch.float32, torch.float16)  # others are checked as they are, and converted later
PART = 1 << 26  # bytes of a safetensors file that are mapped at a time while it is converted
SHOWN = 100  # characters of an error of a library


def read_checkpoint(
    path: str | Path, mapped: bool = False, dtype: torch.dtype | None = None, exact: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the content of a safetensors file, a file written by `torch.save`, or a snapshot of EDM, on the CPU.

    Args:
        path (str | Path): The file. Its content says which of them it is, whatever its name is.
        mapped (bool): Whether the tensors are fetched from the disk only when they are used. The file must then not
            be overwritten in place.
        dtype (torch.dtype, optional): Precision to convert the floating-point tensors of a safetensors file to, one
            after the other, so that the file is never in memory as a whole.
        exact (tuple[str, ...]): Ends of the names of tensors that are not converted.

    Raises:
        InputError: If the file is missing, truncated or no checkpoint, or if it contains code.
    """
    path = Path(path)
    if is_snapshot(path):
        return dict(read_snapshot(path).weights)
    tensors_alone = check_file(path)
    try:
        if tensors_alone:
            if dtype is not None:
                return dict(_converted(path, dtype, exact))
            with safe_open(path, framework='pt') as file:
                return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
        allow_history_buffers()
        options: dict[str, Any] = dict(map_location='cpu', weights_only=True)
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', 'Detected pickle protocol')  # what cannot be read then is an error below
            if path.suffix == '.safetensors':  # by which torch would choose the reader
                with path.open('rb') as file:
                    return torch.load(file, **options)
            return torch.load(str(path), mmap=mapped and is_zip(path), **options)
    except pickle.UnpicklingError as error:
        if 'Unsupported operand' in str(error):
            raise InputError(
                f'{path} is pickled by another protocol than 2, which torch does not read safely: refused,'
                ' nothing in it was run. Save it again by torch.save without pickle_protocol.'
            ) from error
        name = re.search(r'(?:GLOBAL|[Uu]nsupported class) ([\w.]+)', str(error))
        raise _refused(path, name and name[1]) from error
    except InputError:
        raise
    except Exception as error:  # the libraries raise whatever a damaged file leads them to
        raise _damaged(path, _reason(error) if tensors_alone else '') from error


def is_snapshot(path: Path) -> bool:
    """Return whether a path is a file that is read as a snapshot of EDM, by its content."""
    is_file = os.path.isfile(path)  # noqa: PTH113 (False, too, for names that no file can have)
    return is_file and os.access(path, os.R_OK) and is_network_pickle(path)


def read_snapshot(path: Path) -> Snapshot:
    """Return the content of a snapshot of EDM or EDM2, of which nothing is run.

    Raises:
        InputError: If it is damaged, or names what no snapshot needs.
    """
    with reported(path):
        return Snapshot(path)


def _converted(path: Path, dtype: torch.dtype, exact: tuple[str, ...]) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the names and tensors of a safetensors file, real numbers as `dtype`; see `read_checkpoint`.

    The file is opened again for each part: what has been read of a mapped file stays in memory until it is closed.
    """
    with safe_open(path, framework='pt') as file:
        names = list(file.keys())
    position = 0
    while position < len(names):
        size = 0
        with safe_open(path, framework='pt') as file:
            while position < len(names) and size < PART:
                tensor = file.get_tensor(names[position])
                size += tensor.nbytes
                # A copy in any case, since a tensor of this dtype would keep the file mapped.
                is_converted = tensor.dtype in CONVERTED and not names[position].endswith(exact)
                yield names[position], tensor.to(dtype if is_converted else tensor.dtype, copy=True)
                position += 1
        del tensor


def check_file(path: Path) -> bool:
    """Return True for a safetensors file, False for a file of torch; an InputError if it may not be read."""
    if not os.access(path, os.R_OK) or not path.is_file():
        raise InputError(f'there is no checkpoint file {path} that could be read.')
    with reported(path):
        refuse_other_kinds(path)
        tensors_alone = reads_as_safetensors(path)
        (check_safetensors if tensors_alone else check_torch_file)(path)
    return tensors_alone


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Raise an InputError with the name of the file for what is wrong with it."""
    try:
        yield
    except ForeignName as error:
        raise _refused(path, str(error)) from error
    except Unreadable as error:
        raise _damaged(path, f' ({error})') from error
    except OSError as error:
        raise _damaged(path, f' ({error.strerror})') from error


def is_safetensors_file(path: Path) -> bool:
    """Return whether a path is a file that is read as safetensors; `read_checkpoint` says what is wrong with others."""
    return path.is_file() and os.access(path, os.R_OK) and reads_as_safetensors(path)


def read_safetensors_header(path: Path) -> tuple[dict[str, str], list[int]]:
    """Return the metadata of a safetensors file, and how many values each tensor has. No tensor is read.

    Raises:
        InputError: If the file is damaged.
    """
    check_file(path)
    try:
        with safe_open(path, framework='pt') as file:
            sizes = [math.prod(file.get_slice(key).get_shape()) for key in file.keys()]  # noqa: SIM118 (no mapping)
            return file.metadata() or {}, sizes
    except Exception as error:  # the library raises whatever a damaged file leads it to
        raise _damaged(path, _reason(error)) from error


def refuse_other_kinds(path: Path) -> None:
    """Raise an InputError if a file is no checkpoint but a pointer, a page, an archive or another program's file."""
    found = what_it_is(path)
    if found is not None:
        raise InputError(f'{path} is {found}.')


def reads_as_safetensors(path: Path) -> bool:
    """Return whether to read a file as safetensors: by its first bytes, else by its name."""
    if is_safetensors(path):
        return True
    return path.suffix.lower() == '.safetensors' and not is_pickled(path)


def check_safetensors(path: Path) -> None:
    """Raise Unreadable if the header of a safetensors file is longer than the file, or than any real one."""
    size = path.stat().st_size
    with path.open('rb') as file:
        length = int.from_bytes(file.read(8), 'little')
    if length > min(SAFETENSORS_HEADER, size - 8):
        raise Unreadable(f'its header declares {length} bytes')


def _refused(path: Path, name: str | None) -> InputError:
    return InputError(
        f'{path} contains more than weights{f" ({name})" if name else ""}, or is no checkpoint: refused, '
        f'nothing in it was run. {_advice()}'
    )


def _reason(error: Exception) -> str:
    return f' ({next(iter(str(error).splitlines()), "")[:SHOWN]})'


def _damaged(path: Path, reason: str = '') -> InputError:
    return InputError(
        f'{path} is no whole checkpoint ({path.stat().st_size} bytes): it is truncated, or of another '
        f'kind{reason}. Download or write it again.'
    )


def _advice() -> str:
    if supports_training_checkpoints():
        return (
            'Ask its author for a file of plain tensors (.safetensors), or save the weights alone in the program '
            'that wrote it (torch.save(net.state_dict(), path)).'
        )
    return (
        "A training checkpoint that MMEngine wrote without mmcm's PlainLogHook needs torch 2.6 or newer; otherwise "
        'ask its author for a file of plain tensors (.safetensors).'
    )
