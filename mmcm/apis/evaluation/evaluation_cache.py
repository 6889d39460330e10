"""Evaluations that are done once: each is written to a file before the next one begins."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process

from mmcm.utils.bounded import Unreadable, read_json
from mmcm.utils.errors import InputError
from mmcm.utils.files import write_bytes


class EvaluationCache:
    """A file of evaluations, by all that they depend on. Process 0 reads and writes it, and tells the others.

    It is JSON: from a digest to `of`, what was evaluated, and `result`.

    Args:
        path (Path): The file. It need not exist.

    Raises:
        InputError: If it is there and is something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        box = [self._read()] if is_main_process() else [None]
        broadcast_object_list(box)
        if isinstance(box[0], InputError):
            raise box[0]
        self.entries: dict[str, dict] = box[0]
        self.num_new = 0

    def _read(self) -> Any:
        try:
            entries = read_json(self.path)
            if all(set(entry) == {'of', 'result'} for entry in entries.values()):
                return entries
            return InputError(f'{self.path} is no file of evaluations: delete it, or choose another --work-dir.')
        except FileNotFoundError:
            return {}
        except (OSError, AttributeError, TypeError, Unreadable) as error:
            return InputError(
                f'{self.path} cannot be read as evaluations ({error}): delete it, or choose another --work-dir.'
            )

    def get(self, of: dict, evaluate: Callable[[], Any]) -> Any:
        """Return the result for `of`, plain values that say all that it depends on: that of the file, or a new one."""
        said = json.dumps(of, sort_keys=True)
        key = hashlib.sha256(said.encode()).hexdigest()
        if key not in self.entries:
            self.entries[key] = dict(of=json.loads(said), result=evaluate())
            self.num_new += 1
            if is_main_process():
                write_bytes(self.path, (json.dumps(self.entries, indent=1) + '\n').encode())
        return self.entries[key]['result']
