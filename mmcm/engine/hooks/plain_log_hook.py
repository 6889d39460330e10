"""MMEngine's log as plain tensors in checkpoints."""

from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner
from mmengine.utils import apply_to

from mmcm.registry import HOOKS


@HOOKS.register_module()
class PlainLogHook(Hook):
    """Write the log that a checkpoint carries without pickled code, and read it back when the run is resumed.

    MMEngine pickles its `HistoryBuffer`s, NumPy scalars and the functions of schedules, which torch's safe unpickler
    refuses. A checkpoint written with this hook holds tensors and plain values alone: every torch and every tool can
    read it safely.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Turn buffers into tensors, and NumPy's scalars into Python's."""
        log = checkpoint['message_hub']
        log['log_scalars'] = {key: _plain(buffer) for key, buffer in log['log_scalars'].items()}
        for part in ('message_hub', 'meta', 'param_schedulers'):
            if part in checkpoint:
                checkpoint[part] = apply_to(checkpoint[part], _is_numpy_scalar, np.generic.item)
        schedulers = checkpoint.get('param_schedulers')
        if isinstance(schedulers, list):  # OneCycleLR holds a function, which the schedule of a resumed run has anyway
            checkpoint['param_schedulers'] = [
                {key: value for key, value in state.items() if not callable(value)} for state in schedulers
            ]

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Turn the tensors back into buffers, if the checkpoint was written with this hook."""
        log = checkpoint.get('message_hub', {}).get('log_scalars', {})
        for key, value in log.items():
            if isinstance(value, dict):
                log[key] = HistoryBuffer(value['log'].numpy(), value['count'].numpy(), value['max_length'])


def _is_numpy_scalar(value: Any) -> bool:
    return isinstance(value, np.generic)


def _plain(buffer: HistoryBuffer) -> dict:
    log, count = buffer.data
    return dict(log=torch.as_tensor(log), count=torch.as_tensor(count), max_length=buffer.max_length)
