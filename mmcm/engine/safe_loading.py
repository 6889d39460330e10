"""Resuming from MMEngine's checkpoints without running anything that they contain."""
from collections import OrderedDict
from typing import Any, Optional, Union

from mmengine.runner.checkpoint import CheckpointLoader

from mmcm.utils.errors import InputError
from mmcm.utils.safe_globals import supports_training_checkpoints
from mmcm.utils.weights import read_checkpoint


@CheckpointLoader.register_scheme(prefixes='', force=True)
def load_training_checkpoint(filename: str, map_location: Optional[Any] = None) -> Union[dict, OrderedDict]:
    """Read a checkpoint for MMEngine, in place of its loader for local files.

    Stock MMEngine 0.10 fails on its own checkpoints under torch >= 2.6, and runs what is in them under older ones. The
    tensors come back on the CPU; MMEngine moves them from there.

    Raises:
        InputError: If the file cannot be read, or if this torch cannot read a training checkpoint safely.
    """
    try:
        return read_checkpoint(filename)
    except InputError:
        if supports_training_checkpoints():
            raise
        raise InputError(f'{filename} cannot be read safely by this torch: to resume a training, install torch 2.6 or '
                         'newer.') from None
