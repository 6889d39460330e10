"""Which checkpoint a run can be resumed from."""

from pathlib import Path

from mmcm.checkpoints.work_directory import PATH_BYTES, RECORD
from mmcm.utils.bounded import Unreadable, read_text


class LastCheckpoint:
    """The file `last_checkpoint` of a work directory, as opposed to that of an earlier run in the same folder.

    Args:
        work_dir (str): The work directory.
        resumed (bool): Whether the run goes on with the one before, so that its checkpoint counts.
    """

    def __init__(self, work_dir: str, resumed: bool) -> None:
        self.record = Path(work_dir) / RECORD
        self.old = self.record.stat().st_mtime_ns if self.record.is_file() and not resumed else None

    def path(self) -> str | None:
        """Return the path of the last checkpoint, None if there is none of this run."""
        if not self.record.is_file() or self.record.stat().st_mtime_ns == self.old:
            return None
        try:
            return read_text(self.record, PATH_BYTES).strip() or None
        except Unreadable:
            return None
