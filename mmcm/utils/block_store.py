"""Resumable work: a folder of finished blocks, and a journal of the request that they belong to.

Processes that share a job know of each other by these files alone. Each file appears whole or not at all, so a process
that is killed loses at most the block in work.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmcm.utils.bounded import Unreadable, read_json
from mmcm.utils.errors import InputError
from mmcm.utils.files import make_folder, remove, remove_leftovers, temporary, write_bytes

REQUEST_FILE = 'request.json'


@dataclass(frozen=True)
class Journal:
    """A JSON file that names the request of unfinished work, and its progress.

    Args:
        path (Path): The file.
        work (str): What it belongs to, such as 'an unfinished pack', for messages.
        advice (str): What the user can do where the journal is of another request, or damaged.
        indent (int, optional): Indentation of the file; None writes one line.
    """

    path: Path
    work: str
    advice: str
    indent: int | None = 1

    def read(self) -> dict[str, Any] | None:
        """Return the content, None if there is no file.

        Raises:
            InputError: If it cannot be read, or is no dictionary.
        """
        try:
            content = read_json(self.path)
            if not isinstance(content, dict):
                raise Unreadable('it is no dictionary')
            return content
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise self.damaged(error) from error

    def damaged(self, reason: object) -> InputError:
        """Return the error of a file that is no journal, for a `reason`."""
        return InputError(f'{self.path} cannot be read as the journal of {self.work} ({reason}): {self.advice}.')

    def check(self, request: Mapping[str, Any], found: Mapping[str, Any] | None) -> None:
        """Raise an InputError if `found`, read from the file, differs from any entry of `request`.

        Args:
            request (Mapping): The request in plain values, as JSON returns them.
            found (Mapping, optional): The request in the file; None if there is none.
        """
        different = [] if found is None else [key for key, value in request.items() if found.get(key) != value]
        if found is not None and different:
            said = ', '.join(difference(key, found.get(key), request[key]) for key in different)
            raise InputError(f'{self.path} belongs to {self.work} of another request ({said}): {self.advice}.')

    def write(self, content: Mapping[str, Any]) -> None:
        """Replace the content."""
        write_bytes(self.path, (json.dumps(content, indent=self.indent) + '\n').encode())


class BlockStore:
    """A folder of finished blocks, a file each.

    Args:
        folder (Path): The folder.
        pattern (str): Name of the file of a block, formatted with its index.
        size_of (Callable[[int], int], optional): Returns the bytes that a block has; a file of another size does not
            count as finished.
    """

    def __init__(
        self, folder: Path, pattern: str = 'block_{:06d}.raw', size_of: Callable[[int], int] | None = None
    ) -> None:
        self.folder = folder
        self.pattern = pattern
        self.size_of = size_of

    def open(self) -> None:
        """Make the folder."""
        make_folder(self.folder)

    def path(self, index: int) -> Path:
        """Return the file of a block."""
        return self.folder / self.pattern.format(index)

    def missing(self, indices: Iterable[int]) -> list[int]:
        """Return the `indices` of blocks that are not finished."""
        present: set[str] = set()
        with suppress(OSError):
            present = {path.name for path in self.folder.iterdir()}  # once for all: the folder may be far away
        return [index for index in indices if self.pattern.format(index) not in present or not self._is_whole(index)]

    def write(self, index: int, content: bytes) -> None:
        """Write a block. The folder is not made again: another process may have removed it at the end of the job."""
        write_bytes(self.path(index), content)

    def finished(self) -> list[Path]:
        """Return the files of all finished blocks, in order."""
        return sorted(self.folder.glob(f'*{Path(self.pattern).suffix}'))

    def remove(self) -> None:
        """Remove the folder: at once for all processes, whatever interrupts the deletion of its files."""
        remove_leftovers(self.folder)
        part = temporary(self.folder)
        with suppress(FileNotFoundError):
            self.folder.rename(part)
            remove(part)

    def _is_whole(self, index: int) -> bool:
        if self.size_of is None:
            return True
        with suppress(FileNotFoundError):
            return self.path(index).stat().st_size == self.size_of(index)
        return False


def difference(key: str, found: Any, expected: Any) -> str:
    """Describe how an entry differs; digests and configs say nothing to a person."""
    if isinstance(found, int) and isinstance(expected, int):
        return f'{key} {found} instead of {expected}'
    return f'other {key}'
