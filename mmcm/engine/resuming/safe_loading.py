"""Reading checkpoints for MMEngine without running anything that they contain."""

from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.runner.checkpoint import CheckpointLoader

from mmcm.checkpoints import holds_run, last_checkpoint
from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.checkpoints.formats.foreign_weights import describe
from mmcm.checkpoints.formats.openai_trainer import find_trainer_files, read_trainer_checkpoint
from mmcm.utils.errors import InputError
from mmcm.utils.log import log_warning
from mmcm.utils.mmengine_compat import checkpoint_schemes, runner_modules

READ_HERE = ('', 'http://', 'https://')


@CheckpointLoader.register_scheme(prefixes=READ_HERE, force=True)
def load_training_checkpoint(filename: str, map_location: Any | None = None) -> dict:
    """Read a checkpoint from a path or a URL, in place of MMEngine's own loaders.

    Those fail on MMEngine's own checkpoints under torch >= 2.6, and run what is in a file under older ones or when it
    comes from a URL. The tensors come back on the CPU, whatever `map_location` is; MMEngine copies them from there.
    The checkpoint comes without `meta['config']`: a run that is resumed would run that text as Python, to compare the
    number of GPUs. MMEngine 1 has written `meta['cfg']` instead, which it does not read.

    `filename` may also be the folder of a diffusers model, or the folder of OpenAI's trainer (its last step) or a
    `model<step>.pt` in it; see `read_trainer_checkpoint`. `AveragesHook` fits weights alone to the model.

    Raises:
        InputError: If the file cannot be had or read; see `resolve_checkpoint` and `read_checkpoint`.
    """
    trainer = find_trainer_files(filename)
    if trainer is not None:
        return read_trainer_checkpoint(trainer)
    found = Checkpoint.open(filename)
    checkpoint = found.read()
    if not isinstance(checkpoint, dict):
        raise InputError(f'{found.path} holds no state dict but {describe(checkpoint)}.')
    meta = checkpoint.get('meta')
    if isinstance(meta, dict):
        meta.pop('config', None)
    return checkpoint


# MMEngine's log names what reads a checkpoint by what follows 'load_from_' in the name of the function.
load_training_checkpoint.__name__ = 'load_from_mmcm'


def refuse(filename: str, map_location: Any | None = None) -> dict:
    """Raise an InputError: MMEngine's loaders for other addresses may run what is in a file."""
    raise InputError(f'{filename} is at an address that cannot be read safely: download it, and give its path.')


def find_latest_checkpoint(work_dir: str) -> str | None:
    """Return the last whole checkpoint in a work directory, or None; see `mmcm.checkpoints.last_checkpoint`.

    In place of MMEngine's function, which takes whatever the file `last_checkpoint` says. The main process looks, and
    all go on from what it has found: another machine may see another folder.

    Raises:
        InputError: If there are checkpoints, but none is whole.
    """
    found: Path | None = None
    note = error = None
    if is_main_process() and holds_run(work_dir):
        try:
            found, note = last_checkpoint(work_dir, whole=True)
        except InputError as refused:
            error = str(refused)
    answer: list[Any] = [found, error]
    broadcast_object_list(answer)
    found, error = answer
    if error is not None:
        raise InputError(error)
    if note:
        log_warning(note)
    return None if found is None else str(found)


for module in runner_modules():
    module.find_latest_checkpoint = find_latest_checkpoint  # type: ignore[attr-defined]  # of MMEngine

CheckpointLoader.register_scheme(
    prefixes=[prefix for prefix in checkpoint_schemes() if prefix not in READ_HERE], loader=refuse, force=True
)
