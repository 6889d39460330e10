"""Classes that a training checkpoint of MMEngine may contain beside tensors and plain values.

MMEngine keeps its log in `HistoryBuffer`s, which torch's safe unpickler (`weights_only=True`, the default from torch
2.6 on) refuses. They pickle as NumPy arrays, scalars and `getattr` calls on the class; exactly that is allowed.
Checkpoints written with mmcm's `PlainLogHook` need none of it.
"""

import importlib
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from mmcm.utils.errors import InputError


def allow_history_buffers() -> None:
    """Let `torch.load(weights_only=True)` read MMEngine's training checkpoints, with torch 2.6 or newer."""
    if not supports_training_checkpoints():
        return
    allowed = [HistoryBuffer, np.ndarray, np.dtype, (_statistic, 'builtins.getattr')]
    allowed += [type(np.dtype(name)) for name in ('f8', 'f4', 'f2', 'i8', 'i4', '?')]
    multiarray = importlib.import_module('numpy._core.multiarray' if np.__version__ >= '2' else 'numpy.core.multiarray')
    for package in ('numpy._core', 'numpy.core'):  # as NumPy 2 and NumPy 1 write it
        allowed += [(getattr(multiarray, name), f'{package}.multiarray.{name}') for name in ('_reconstruct', 'scalar')]
    torch.serialization.add_safe_globals(allowed)


def supports_training_checkpoints() -> bool:
    """Return whether this torch can allow classes under other names (2.6 or newer)."""
    return tuple(int(part) for part in torch.__version__.split('.')[:2]) >= (2, 6)


def _statistic(owner: Any, name: str) -> Any:
    """Replace `getattr` in a checkpoint: return statistics of HistoryBuffer, refuse all else."""
    if owner is HistoryBuffer and name in ('min', 'max', 'mean', 'current'):
        return HistoryBuffer.__dict__[name]
    raise InputError(f'the checkpoint asks for attribute {name!r} of {owner!r}, which no training log needs: refused.')
