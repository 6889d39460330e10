"""Reading the files that hold weights, and nothing but weights.

Files are read by safetensors, or by torch's restricted unpickler: code in a file is refused, never run.
"""
import os
import pickle
import re
import struct
import warnings
from pathlib import Path
from typing import Any, Union

import torch
from safetensors import SafetensorError, safe_open

from mmcm.utils.errors import InputError
from mmcm.utils.network_pickle import refuse_network_pickle
from mmcm.utils.safe_globals import allow_history_buffers, supports_training_checkpoints


def read_checkpoint(path: Union[str, Path], mapped: bool = False) -> dict[str, Any]:
    """Return the content of a `.safetensors` file or of a file written by `torch.save`, on the CPU.

    Args:
        path (str | Path): The file.
        mapped (bool): Whether the tensors are fetched from the disk only when they are used. The file must then not
            be overwritten in place.

    Raises:
        InputError: If the file is missing, truncated or no checkpoint, or if it contains code.
    """
    path = Path(path)
    if not os.access(path, os.R_OK) or not path.is_file():
        raise InputError(f'there is no checkpoint file {path} that could be read.')
    refuse_network_pickle(path)
    try:
        if path.suffix == '.safetensors':
            with safe_open(path, framework='pt') as file:
                return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
        allow_history_buffers()
        with warnings.catch_warnings():
            # Of a file that is refused in the same breath; the error says more.
            warnings.filterwarnings('ignore', 'Detected pickle protocol')
            return torch.load(str(path), map_location='cpu', weights_only=True, mmap=mapped and _is_zip(path))
    except pickle.UnpicklingError as error:
        name = re.search(r'(?:GLOBAL|[Uu]nsupported class) ([\w.]+)', str(error))
        found = f' ({name[1]})' if name else ''
        raise InputError(f'{path} contains more than weights{found}, or is no checkpoint: refused, nothing in it was '
                         f'run. {_advice()}') from error
    except (RuntimeError, EOFError, OSError, SafetensorError, struct.error, UnicodeDecodeError, LookupError) as error:
        raise InputError(f'{path} is no whole checkpoint ({path.stat().st_size} bytes): it is truncated, or of another '
                         'kind. Download or write it again.') from error


def _advice() -> str:
    if supports_training_checkpoints():
        return 'Ask its author for a file of plain tensors (.safetensors).'
    return ("A training checkpoint that MMEngine wrote without mmcm's PlainLogHook needs torch 2.6 or newer; otherwise "
            'ask its author for a file of plain tensors (.safetensors).')


def _is_zip(path: Path) -> bool:
    with path.open('rb') as file:
        return file.read(2) == b'PK'
