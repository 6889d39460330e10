"""Checkpoints in the work directory of a run: the one that `last_checkpoint` names, or the newest whole one."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmcm.utils.bounded import Unreadable, read_text
from mmcm.utils.errors import InputError
from mmcm.utils.files import write_bytes

RECORD = 'last_checkpoint'  # MMEngine's file with the path of the last checkpoint
FINISHED = 'finished'  # our file with the end that a run has reached: 'iteration 3000'
GOAL_BYTES = 100
PATH_BYTES = 2**13  # of a path; Linux has up to 4096
NAME = re.compile(r'(?:iter|epoch)_(\d{1,12})\.pth', re.ASCII)
MOST = 1000  # checkpoints of a folder that are considered, the highest numbers first


def checkpoints_in(folder: str | Path) -> list[Path]:
    """Return the files in `folder` that have the names of MMEngine's checkpoints, the highest number first."""
    try:
        names = [path.name for path in Path(folder).iterdir()]
    except OSError:
        return []
    numbers = {name: int(match[1]) for name in names if (match := NAME.fullmatch(name))}
    ordered = sorted(numbers, key=lambda name: (-numbers[name], name))[:MOST]
    return [path for path in (Path(folder) / name for name in ordered) if path.exists()]


def holds_run(folder: str | Path) -> bool:
    """Return whether `folder` holds the checkpoints of a run, or the record of one."""
    return (Path(folder) / RECORD).is_file() or bool(checkpoints_in(folder))


def note_finished(folder: str | Path, goal: tuple[str, int] | None) -> None:
    """Record that the run in `folder` has reached its `goal`, such as ('iteration', 3000); None removes the record."""
    record = Path(folder) / FINISHED
    if goal is not None:
        write_bytes(record, f'{goal[0]} {goal[1]}\n'.encode())
    elif record.is_file():
        record.unlink()


def finished_goal(folder: str | Path) -> tuple[str, int] | None:
    """Return the end that the run in `folder` has reached, such as ('iteration', 3000), None if it has not ended."""
    try:
        word, number = read_text(Path(folder) / FINISHED, GOAL_BYTES).split()
        return word, int(number)
    except (OSError, ValueError, Unreadable):
        return None


def last_checkpoint(folder: str | Path, whole: bool = False) -> tuple[Path, str | None]:
    """Return the last checkpoint in a work directory, and a note if it is not the one that the record names.

    The file `last_checkpoint` records the path at training time. In a folder that was moved since, the file of that
    name is taken. Without a record, or if its file is missing, the newest whole checkpoint is taken.

    Args:
        folder (str | Path): The work directory; `holds_run` is true of it.
        whole (bool): Whether to take another checkpoint if the recorded one is damaged.

    Raises:
        InputError: If there is none.
    """
    try:
        path = recorded_checkpoint(Path(folder))
        if whole and path.is_file():  # a strategy of several processes may have written a folder
            written_at(path)
        return path, None
    except InputError as error:
        refused = error
    newest, damaged = newest_checkpoint(folder)
    if newest is None:
        others = f' No checkpoint in {folder} is whole: {", ".join(damaged)}.' if damaged else ''
        raise InputError(f'{refused}{others}') from refused
    return newest, f'{str(refused).rstrip(".")}; {newest} is the newest whole checkpoint in {folder}, and is taken.'


def recorded_checkpoint(folder: Path) -> Path:
    """Return the checkpoint that the record in `folder` names; an InputError if it names none that is there."""
    record = folder / RECORD
    try:
        text = read_text(record, PATH_BYTES).strip()
        if '\0' in text or '\n' in text:
            raise Unreadable('it is no path')
        if not text:
            raise Unreadable('it is empty')
    except FileNotFoundError as error:
        raise InputError(f'{folder} has no file {RECORD}.') from error
    except (OSError, Unreadable) as error:
        raise InputError(f'{record} does not name a checkpoint: {error}. Write the path of one into it.') from error
    named = Path(text)
    for path in (folder / named.name, named):
        with suppress(OSError):  # such as a name that is too long
            if path != folder and path.exists() and (path.is_file() or NAME.fullmatch(path.name)):
                return path
    raise InputError(f'{record} names {str(named)!r}, which is neither there nor in {folder}.')


def newest_checkpoint(folder: str | Path) -> tuple[Path | None, list[str]]:
    """Return the whole checkpoint in `folder` that was written last, and the names of damaged ones.

    The time is read from inside the file: file times change when a folder is copied, and an earlier run in the same
    folder may have left higher numbers.
    """
    times, damaged = {}, []
    for path in checkpoints_in(folder):
        try:
            times[path] = written_at(path)
        except InputError:
            damaged.append(path.name)
    return max(times, key=times.__getitem__, default=None), damaged


def written_at(path: Path) -> tuple[str, int]:
    """Return when a training checkpoint was written, and its iteration; an InputError if it is none, or not whole."""
    from mmcm.checkpoints.read import read_checkpoint  # which loads torch

    content: Any = read_checkpoint(path, mapped=True)
    meta = content.get('meta') if isinstance(content, dict) else None
    if not isinstance(meta, dict) or not isinstance(meta.get('iter'), int) or 'state_dict' not in content:
        raise InputError(f'{path} is no training checkpoint: it does not say its iteration, or holds no weights.')
    return str(meta.get('time', '')), meta['iter']
