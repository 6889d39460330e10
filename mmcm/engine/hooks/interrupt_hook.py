"""Stop a training at the end of a step, with a checkpoint, on SIGINT and SIGTERM."""

from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier, get_backend, get_world_size, is_main_process
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.runner import FlexibleRunner, Runner
from torch.nn.parallel import DistributedDataParallel

from mmcm.engine.hooks.non_finite_guard_hook import NonFiniteGuardHook
from mmcm.engine.steps import iterations_per_step
from mmcm.utils import interrupts
from mmcm.utils.failures import MachineFailure
from mmcm.utils.mmengine_compat import save_checkpoint, set_iteration

NOTICE = 'the training ends with this step and a checkpoint; a second signal ends it at once, without one'
FOLDER_GONE = 1000  # in place of a signal: larger than any, so that it wins where processes compare
ACCELERATOR_INTERVAL = 10  # iterations between two exchanges that wait for a device
LAUNCHED_SAME_REQUEST = 10.0  # seconds; what has launched the processes passes signals on that they also get directly


class StepBeginHook(Hook):
    """Begin a step, which a signal does not interrupt. It belongs to an InterruptHook.

    Args:
        interrupt (InterruptHook): The hook that ends the step.
    """

    priority = 'HIGHEST'  # before anything of the step changes the state that a checkpoint holds

    def __init__(self, interrupt: 'InterruptHook') -> None:
        self.interrupt = interrupt

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Begin."""
        self.interrupt.begin_step()


class InterruptHook(Hook):
    """On SIGINT and SIGTERM, finish the step, save a checkpoint and raise `Interrupted`.

    A resumed run then goes on as if nothing had happened: same weights, averages, optimiser, data and log. A single
    process is interrupted at once outside of a step (waiting for data, validation, grids of samples), and the code that
    catches the exception calls `save`. Several processes exchange signals at the end of steps, stop after the same
    step, and the main process saves.

    The run also stops if its work directory was removed; otherwise only the next checkpoint would fail.

    Use `add_to`: the hook needs a StepBeginHook beside it.

    Attributes:
        finished (int, optional): Iterations up to the last step of the optimiser that is complete; None before the
            first one of this process.
    """

    priority = 95  # after the checkpoint of the same iteration, before grids of samples

    def __init__(self) -> None:
        self.finished: int | None = None
        self.in_step = False
        self.holding = False
        self.interval = 1

    @classmethod
    def add_to(cls, runner: Runner | FlexibleRunner) -> 'InterruptHook':
        """Register the hook and its StepBeginHook; return it."""
        hook = cls()
        runner.register_hook(StepBeginHook(hook), priority=StepBeginHook.priority)
        runner.register_hook(hook, priority=cls.priority)
        return hook

    def before_train(self, runner: Runner) -> None:
        """Decide whether a signal may interrupt between steps."""
        # Other processes are in a step while this one waits for data; MMEngine's EMAHook exchanges weights to validate.
        self.holding = get_world_size() > 1 or any(isinstance(hook, EMAHook) for hook in runner.hooks)
        if get_world_size() > 1 and get_backend() != 'gloo':
            self.interval = ACCELERATOR_INTERVAL

    def begin_step(self) -> None:
        """Begin a step: signals are only noted from now on."""
        notice = NOTICE if is_main_process() else ''
        interrupts.hold(notice, LAUNCHED_SAME_REQUEST if get_world_size() > 1 else interrupts.SAME_REQUEST)
        self.in_step = True

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """End the step; save and stop if a process has received a signal."""
        if (runner.iter + 1) % iterations_per_step(runner):
            return  # gradients that are accumulated are in no checkpoint
        self.finished, self.in_step = runner.iter + 1, False
        reason = self.reason(runner)
        if reason:
            self.save(runner)
            barrier()  # launchers end all processes as soon as one has ended
            if reason == FOLDER_GONE:
                raise MachineFailure(f'the work directory {runner.work_dir} was removed, or its disk is not mounted.')
            raise interrupts.Interrupted(reason)
        if not self.holding:
            interrupts.release()

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """End a long validation of several processes in the main one, which can save without the others."""
        number = interrupts.received()
        if (
            number
            and is_main_process()
            and isinstance(runner.model, DistributedDataParallel)
            and not any(isinstance(hook, EMAHook) for hook in runner.hooks)
        ):
            raise interrupts.Interrupted(number)

    def reason(self, runner: Runner) -> int:
        """Return the signal that one of the processes has received, FOLDER_GONE, or 0 to go on."""
        if get_world_size() > 1 and not self.every_n_train_iters(runner, self.interval):
            return 0
        reason = interrupts.received() or 0
        if not reason and is_main_process() and not Path(runner.work_dir).exists():
            reason = FOLDER_GONE
        if get_world_size() > 1:
            shared = torch.tensor(reason, dtype=torch.int64, device='cpu')
            all_reduce(shared, op='max')
            reason = int(shared)
        return reason

    def checkpoint_hook(self, runner: Runner) -> CheckpointHook | None:
        """Return the hook that saves by iterations, None if there is none: only its checkpoints can be resumed."""
        return next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook) and not hook.by_epoch), None)

    def is_saved(self, runner: Runner) -> bool:
        """Return whether there is a checkpoint of the last finished iteration."""
        hook = self.checkpoint_hook(runner)
        return (
            hook is not None
            and self.finished is not None
            and hook.last_ckpt is not None
            and Path(hook.last_ckpt).name == hook.filename_tmpl.format(self.finished)
            and Path(hook.last_ckpt).exists()
        )

    def save(self, runner: Runner) -> None:
        """Save the last finished iteration, unless it is saved or a step has begun since."""
        hook = self.checkpoint_hook(runner)
        if hook is None or self.finished is None or self.in_step or self.is_saved(runner):
            return
        interrupts.hold()
        for guard in runner.hooks:
            if isinstance(guard, NonFiniteGuardHook):
                guard.check(runner)
        runner.logger.info(f'Saving checkpoint at {self.finished} iterations')
        set_iteration(runner.train_loop, self.finished - 1)  # CheckpointHook adds 1: a loop counts after the hooks
        save_checkpoint(hook, runner)
