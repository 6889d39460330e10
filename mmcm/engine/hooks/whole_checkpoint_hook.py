"""Atomic checkpoints."""

import os
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import FlexibleRunner, Runner

from mmcm.registry import HOOKS
from mmcm.utils.files import make_folder, write_bytes
from mmcm.utils.mmengine_compat import SavesStep


class WholeFileBackend(LocalBackend):
    """Local files that get their name only when they are complete."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write `obj` beside `filepath`, then rename it."""
        make_folder(Path(filepath).parent)
        write_bytes(Path(filepath), obj)


register_backend('mmcm.whole', WholeFileBackend, force=True)


@HOOKS.register_module()
class WholeCheckpointHook(SavesStep, CheckpointHook):
    """MMEngine's CheckpointHook, for runs that may be killed at any time.

    A checkpoint, and the file `last_checkpoint` with the place to resume, get their names when they are complete; only
    then the outdated checkpoint is removed. So there is always one to resume from, also with `max_keep_ckpts=1`.
    Arguments: see `CheckpointHook`. Other places than local folders in `out_dir` and `backend_args` stay as they are.
    """

    backend_args: dict | None

    def before_train(self, runner: Runner) -> None:
        """Choose the backend, and remove incomplete files of a killed process."""
        folder = str(self.out_dir or runner.work_dir)
        if self.backend_args is None and self.file_client_args is None and '://' not in folder:
            self.backend_args = dict(backend='mmcm.whole')
        super().before_train(runner)
        if is_main_process() and isinstance(self.file_backend, WholeFileBackend):
            for part in (*Path(self.out_dir).glob('.*.pth.*.part'), *Path(runner.work_dir).glob('.last_checkpoint.*')):
                part.unlink()

    def save_step(self, runner: Runner | FlexibleRunner, step: int, meta: dict[str, Any]) -> None:
        """Write the checkpoint of `step`, then `last_checkpoint`, then remove the outdated checkpoint.

        MMEngine's version removes first, and writes `last_checkpoint` in place.
        """
        outdated = None
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated = self.keep_ckpt_ids.popleft()
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            write_bytes(Path(runner.work_dir) / 'last_checkpoint', os.fsencode(str(self.last_ckpt)))
            if outdated is not None:
                self._remove(self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(outdated)))

    def _remove(self, path: str) -> None:
        if self.file_backend.isdir(path):  # some strategies of MMEngine write folders
            self.file_backend.rmtree(path)
        elif self.file_backend.isfile(path):
            self.file_backend.remove(path)
