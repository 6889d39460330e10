"""Atomic checkpoints."""

import os
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import FlexibleRunner, Runner

from mmcm.registry import HOOKS
from mmcm.utils.errors import InputError
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

    def save_best_checkpoint(self, runner: Runner | FlexibleRunner, metrics: dict[str, Any]) -> None:
        """Write the best checkpoint, then `last_checkpoint` again, then remove the best one before.

        MMEngine's version removes first. With `save_best='auto'`, the first metric decides.

        Raises:
            InputError: If there is no metric that `save_best` names.
        """
        if self.save_best is None:
            return
        if 'auto' in self.key_indicators:
            key = next(iter(metrics))
            try:
                self.infer_rule(key)
            except ValueError:
                runner.logger.warning(
                    f'No best checkpoint is saved, as {key} does not tell whether more or less is better: set '
                    f"default_hooks.checkpoint.save_best={key!r} and default_hooks.checkpoint.rule='less' or 'greater'."
                )
                return
        missing = [key for key in self.key_indicators if key not in metrics]
        if missing:
            raise InputError(
                f'default_hooks.checkpoint.save_best={missing[0]!r} is no metric of val_evaluator, which has '
                f'{", ".join(metrics)}.'
            )
        before = self.best_paths()
        for key in before:
            self.set_best_path(key, None)
        self.save_best_of(runner, metrics)
        for key, path in self.best_paths().items():
            outdated = before[key]
            if path is None:
                self.set_best_path(key, outdated)
            elif outdated not in (None, path) and is_main_process():
                self._remove(str(outdated))

    def best_paths(self) -> dict[str, str | None]:
        """Return the best checkpoint by each metric that decides; none before the first validation."""
        if self.save_best is None or 'auto' in self.key_indicators:
            return {}
        if len(self.key_indicators) == 1:
            return {self.key_indicators[0]: self.best_ckpt_path}
        return {key: self.best_ckpt_path_dict.get(key) for key in self.key_indicators}

    def set_best_path(self, key: str, path: str | None) -> None:
        """Set the path of the best checkpoint by the metric `key`."""
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = path
        else:
            self.best_ckpt_path_dict[key] = path

    def _remove(self, path: str) -> None:
        if self.file_backend.isdir(path):  # some strategies of MMEngine write folders
            self.file_backend.rmtree(path)
        elif self.file_backend.isfile(path):
            self.file_backend.remove(path)
