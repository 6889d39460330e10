"""`tools/train.py`: train a model from a config file."""

import os
import shlex
import signal
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from mmengine.config import Config

from mmcm.checkpoints import checkpoints_in, holds_run
from mmcm.checkpoints.work_directory import note_finished
from mmcm.cli.completion import with_configs
from mmcm.cli.config import add_runner_arguments, runner_config
from mmcm.cli.errors import command
from mmcm.cli.launch import processes
from mmcm.cli.parser import CommandParser
from mmcm.cli.training_chain import check_stages, free_memory, goal_of, is_finished, link, stage_arguments
from mmcm.utils.errors import InputError
from mmcm.utils.failures import machine_failure
from mmcm.utils.interrupts import Interrupted, received
from mmcm.utils.locks import is_first_process, locked

if TYPE_CHECKING:  # torch is loaded only to train: help and mistakes in the arguments need not wait for it
    from mmengine.runner import Runner

    from mmcm.engine import InterruptHook
    from mmcm.engine.resuming.last_checkpoint import LastCheckpoint

RESUME = '--resume'


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Train a model from a config, or distil one.',
        prog,
        examples=(
            'configs/digits/edm_1xb32_digits-8x8.py',
            'cd_1xb32_digits-8x8 --resume',
            'edm_1xb32_digits-8x8 cd_1xb32_digits-8x8 --work-dir work_dirs/digits',
            'ct_8xb256_imagenet1k-64x64 --amp --micro-batch 64 --cfg-options train_dataloader.batch_size=128',
        ),
    )
    with_configs(
        parser.add_argument(
            'config',
            nargs='+',
            help='config file, or the name of one that comes with mmcm; several are trained in this order, and '
            '--resume goes on with the one that is not finished',
        )
    )
    add_runner_arguments(parser)
    parser.add_argument(RESUME, action='store_true', help='go on from the last checkpoint in the work directory')
    text = 'start anew in a work directory that holds another run, and replace its checkpoints'
    parser.add_argument('--force', action='store_true', help=text)
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    text = 'scale the learning rate from the batch size it was chosen for'
    parser.add_argument('--auto-scale-lr', action='store_true', help=text)
    parser.add_integer(
        '--micro-batch',
        'send N images of a batch through the network at once and accumulate their gradients: less memory, the same '
        'batches, steps and learning rate. Less still: --cfg-options model.denoiser.backbone.use_checkpoint=True',
    )
    return parser.parse_args(argv)


def train(config: Config, again: str = 'the same command') -> 'Runner':
    """Train by `config`; return the runner. Messages name `again`, the command that begins the training.

    Raises:
        Interrupted: If a signal has ended the training; what can be saved is saved.
        InputError: If the config cannot be built, another run writes into the same folder, or the machine has failed.
    """
    from mmcm.cli.building import built_from_config
    from mmcm.cli.runner import build_runner
    from mmcm.engine import InterruptHook, LoopEndHook
    from mmcm.engine.resuming.last_checkpoint import LastCheckpoint
    from mmcm.engine.resuming.loaded_checkpoint import check_strategy

    runner = hook = None
    last = LastCheckpoint(config.work_dir, config.resume)
    with alone(config):
        try:
            with built_from_config(config):
                check_strategy(config)
                runner = build_runner(config)
                hook = InterruptHook.add_to(runner)
                LoopEndHook.add_to(runner)
                if runner.rank == 0:
                    note_finished(config.work_dir, None)
                runner.train()
                if runner.rank == 0:
                    note_finished(config.work_dir, goal_of(config))
        except (KeyboardInterrupt, Exception) as error:
            end = early_end(error, config, runner, hook, last, again)
            if end is error:
                raise
            raise end from error
    return runner


def alone(config: Config) -> AbstractContextManager:
    """Return a lock of the work directory against other runs; process 0 takes it for all processes."""
    first = processes(config.get('launcher', 'none'))[0] == 0
    if not first:
        return nullcontext()
    folder = Path(config.work_dir)
    hint = 'processes of one run need a launcher: torchrun, for example, without --launcher none'
    return locked(folder / 'run', 'being trained', folder, hint)


def early_end(
    error: BaseException,
    config: Config,
    runner: 'Runner | None',
    hook: 'InterruptHook | None',
    last: 'LastCheckpoint',
    again: str,
) -> BaseException:
    """Save a training that `error` has ended, if possible; return the error for the user.

    That is `error` itself where its message suffices, and for bugs.
    """
    number = getattr(error, 'number', signal.SIGINT) if isinstance(error, KeyboardInterrupt) else received()
    failure = machine_failure(error)
    if isinstance(error, FileNotFoundError) and not Path(config.work_dir).exists():
        failure = f'the work directory {config.work_dir} was removed, or its disk is not mounted.'
    if number is not None and runner is not None and hook is not None and not isinstance(error, InputError):
        try:
            hook.save(runner)
            runner.visualizer.close()
        except Exception as worse:
            error, failure, number = worse, machine_failure(worse), None
    if number is not None and not isinstance(error, InputError):  # also where a library made another error of it
        return Interrupted(number, way_on(runner, hook, last, again))
    return error if failure is None else InputError(f'{failure} {way_on(runner, hook, last, again)}')


def way_on(runner: 'Runner | None', hook: 'InterruptHook | None', last: 'LastCheckpoint', again: str) -> str:
    """Return one line about the last checkpoint of a training that has ended early, with the command to resume it."""
    path = last.path()
    if path is None or not Path(path).exists():
        return f'No iteration is saved; to begin again: {again.replace(f" {RESUME}", "")}'
    if runner is not None and hook is not None and hook.is_saved(runner) and hook.finished >= runner.max_iters:
        return f'{path} is saved, the last of {hook.finished} iterations.'
    return f'{path} is the last checkpoint; to go on: {again.replace(f" {RESUME}", "")} {RESUME}'


def command_line(argv: Sequence[str] | None, prog: str | None, launcher: str) -> str:
    """Return the command that started this training, as it is typed in a shell."""
    if launcher != 'none':
        return launcher_command() or 'the same command'
    program = [prog] if prog else ['python', sys.argv[0]] if sys.argv[0].endswith('.py') else [Path(sys.argv[0]).name]
    return ' '.join([*program, shlex.join(sys.argv[1:] if argv is None else argv)])


def launcher_command() -> str | None:
    """Return the command line of torchrun, where it is the parent of this process and the system has it."""
    try:
        parts = Path(f'/proc/{os.getppid()}/cmdline').read_text().rstrip('\0').split('\0')
    except OSError:
        return None
    launched = any(name in part for part in parts for name in ('torchrun', 'torch.distributed', 'launch.py'))
    return shlex.join([Path(parts[0]).name, *parts[1:]]) if launched else None


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    stages = stage_arguments(args)
    configs = [training_config(stage) for stage in stages]  # all are checked before the first is trained
    from mmcm.cli.runner import prepare
    from mmcm.cli.training_report import report

    if len(configs) > 1:
        link(configs, args.config)
    waiting = []
    for config, stage in zip(configs, stages):
        if len(configs) > 1 and config.resume and is_finished(config):
            if is_first_process():
                print(f'{stage.config} is trained already, in {config.work_dir}')
            continue
        if len(configs) > 1 and config.resume and not holds_run(config.work_dir):
            config.resume = False
        if not args.force:
            keep_other_runs(config)
        prepare(config, stage)
        waiting.append((config, stage))
    check_stages([config for config, _ in waiting], [stage.config for _, stage in waiting])
    again = command_line(argv, prog, stages[0].launcher)
    for config, stage in waiting:
        if len(waiting) > 1 and is_first_process():
            print(f'Training {stage.config} in {config.work_dir}')
        report(train(config, again), stage.config, prog)
        free_memory()


def training_config(args: Namespace) -> Config:
    """Return the config of one training, with the options of the command; an InputError if it cannot be trained."""
    config = runner_config(args)
    if config.get('train_cfg') is None or config.get('optim_wrapper') is None:
        raise InputError(f'{args.config} does not say how to train: it has no train_cfg or no optim_wrapper.')
    leave_out_validation(config)
    if args.amp:
        enable_amp(config)
    if args.auto_scale_lr:
        if 'base_batch_size' not in config.get('auto_scale_lr', {}):
            raise InputError(
                f'--auto-scale-lr needs auto_scale_lr = dict(base_batch_size=...) in {args.config}, the '
                'batch size over all devices that its learning rate was chosen for.'
            )
        config.auto_scale_lr.enable = True
        # MMEngine knows the batch of all processes, but not how many of them it accumulates for a step.
        config.auto_scale_lr.base_batch_size /= config.optim_wrapper.get('accumulative_counts', 1)
    if args.micro_batch is not None:
        use_micro_batches(config, args.micro_batch)
    from mmcm.cli.settings import TRAINING, check_settings

    check_settings(config, TRAINING)
    compile_networks(config)
    config.resume = args.resume or config.get('resume', False)
    return config


def leave_out_validation(config: Config) -> None:
    """Where the config sets `val_cfg` to None, leave out its loader and evaluator, too."""
    if 'val_cfg' in config and config.val_cfg is None:
        config.val_dataloader = config.val_evaluator = None


def keep_other_runs(config: Config) -> None:
    """Raise an InputError if the run would replace the checkpoints of another run; report if there is none to resume.

    A run that is resumed at an earlier checkpoint of its own folder may write the later ones again.
    """
    folder, source = Path(config.work_dir), config.get('load_from')
    if config.resume and source is None:
        if not holds_run(folder):
            print(f'note: {folder} holds no checkpoint, so the run starts at iteration 0', file=sys.stderr)
        return
    if not holds_run(folder) or (config.resume and Path(source).absolute().is_relative_to(folder.absolute())):
        return
    way = 'leave out load_from' if config.resume else RESUME
    raise InputError(
        f'{folder} holds a run already{held_checkpoints(folder)}. To go on with it: {way}. To keep it: '
        'another --work-dir. To start anew and replace its checkpoints: --force.'
    )


def held_checkpoints(folder: Path) -> str:
    """Return the names of the first and the last checkpoint in `folder`, in parentheses."""
    names = [path.name for path in checkpoints_in(folder)]
    return f' ({" to ".join(dict.fromkeys((names[-1], names[0])))})' if names else ''


def use_micro_batches(config: Config, micro_batch: int) -> None:
    """Replace the training loop by one that splits its batches."""
    kind = config.train_cfg.get('type')
    if kind not in ('IterBasedTrainLoop', 'MicroBatchTrainLoop'):
        raise InputError(f"--micro-batch needs train_cfg type 'IterBasedTrainLoop' in the config, got {kind!r}.")
    if 'DeepSpeed' in config.optim_wrapper.get('type', ''):
        raise InputError(
            '--micro-batch is not for DeepSpeed, which accumulates gradients itself: set '
            'gradient_accumulation_steps of the strategy.'
        )
    config.train_cfg.update(type='MicroBatchTrainLoop', micro_batch=micro_batch)


def compile_networks(config: Config) -> None:
    """Where the config says `compile`, compile the networks, in place of MMEngine's compiling of `train_step`."""
    options = config.pop('compile', None)
    if options:
        hook = dict(type='CompileHook', **({} if options is True else options))
        config.custom_hooks = [*(config.get('custom_hooks') or []), hook]


def enable_amp(config: Config) -> None:
    """Replace the optimiser's wrapper by one of mixed precision: float16 with loss scaling, or bfloat16 on a CPU."""
    kind = config.optim_wrapper.get('type', 'OptimWrapper')
    if kind in ('AmpOptimWrapper', 'AutocastOptimWrapper'):
        return
    if kind != 'OptimWrapper':
        raise InputError(f"--amp needs optim_wrapper type 'OptimWrapper' in the config, got {kind!r}.")
    import torch

    if torch.cuda.is_available():
        config.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')
    else:
        config.optim_wrapper.type = 'AutocastOptimWrapper'
