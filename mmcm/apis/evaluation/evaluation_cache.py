"""Cache of evaluations: each is written to a file before the next one begins, and done once."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process

from mmcm.utils.block_store import Journal
from mmcm.utils.errors import InputError


class EvaluationCache:
    """A JSON file of evaluations, from a digest to `of`, what was evaluated, and `result`.

    Process 0 reads and writes it, and broadcasts the content to the others.

    Args:
        path (Path): The file. It need not exist.

    Raises:
        InputError: If it exists and is something else.
    """

    def __init__(self, path: Path) -> None:
        self.journal = Journal(path, 'evaluations', 'delete it, or choose another --work-dir')
        box = [self._read()] if is_main_process() else [{}]
        broadcast_object_list(box)
        if isinstance(box[0], InputError):
            raise box[0]
        self.entries: dict[str, dict] = box[0]
        self.num_new = 0

    def _read(self) -> dict[str, dict] | InputError:
        try:
            entries = self.journal.read() or {}
        except InputError as error:
            return error
        if all(isinstance(entry, dict) and set(entry) == {'of', 'result'} for entry in entries.values()):
            return entries
        return self.journal.damaged('it has entries of another kind')

    def get(self, of: dict, evaluate: Callable[[], Any]) -> Any:
        """Return the result for `of`, plain values that say all that it depends on, from the file or a new one."""
        text = json.dumps(of, sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()
        if key not in self.entries:
            self.entries[key] = dict(of=json.loads(text), result=evaluate())
            self.num_new += 1
            if is_main_process():
                self.journal.write(self.entries)
        return self.entries[key]['result']
