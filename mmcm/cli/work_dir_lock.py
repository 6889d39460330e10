"""One training at a time in a work directory: two would write over each other's checkpoints."""
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmcm.utils.locks import is_first_process, locked

NAME = 'run'  # of the lock in a work directory: `.run.lock`


@contextmanager
def one_run_in(work_dir: str) -> Iterator[None]:
    """Keep other trainings out of `work_dir`; of the processes of a run, the first one does so.

    Raises:
        InputError: If another training is there.
    """
    if not is_first_process():
        yield
        return
    with locked(Path(work_dir) / NAME, 'being trained', Path(work_dir)):
        yield
