"""Resuming from MMEngine's checkpoints without running anything that they contain."""
from typing import Any, Optional

from mmengine.runner.checkpoint import CheckpointLoader

from mmcm.utils.weights import read_checkpoint


@CheckpointLoader.register_scheme(prefixes='', force=True)
def load_training_checkpoint(filename: str, map_location: Optional[Any] = None) -> dict:
    """Read a checkpoint for MMEngine, in place of its loader for local files.

    Stock MMEngine 0.10 fails on its own checkpoints under torch >= 2.6, and runs what is in them under older ones. The
    tensors come back on the CPU, whatever `map_location` is; MMEngine copies them to where they belong.

    Raises:
        InputError: If the file cannot be read; see `read_checkpoint`.
    """
    return read_checkpoint(filename)
