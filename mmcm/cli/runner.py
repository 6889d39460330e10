"""Build a runner for this machine: devices, launcher, installed packages."""

import atexit
import gc
import importlib.util
import os
import subprocess
import time
from argparse import Namespace
from datetime import timedelta
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import FlexibleRunner, Runner

from mmcm.cli.config_names import MMENGINE_HOOKS
from mmcm.cli.launch import check_devices, set_torch_variables
from mmcm.engine.console import brief_console
from mmcm.utils.errors import InputError

# MMEngine identifies a run in a process by its name and second; another run of that name waits for the next second,
# as it would log into the files of the run before.
SECOND = '%Y%m%d_%H%M%S'
_begun: dict[str | None, str] = {}


def prepare(config: Config, args: Namespace) -> None:
    """Fit `config` to MMEngine and to this machine: its devices, and what is installed."""
    leave_out_hooks(config)
    if config.get('visualizer'):
        keep_installed_backends(config)
    if args.launcher == 'none':
        return
    set_torch_variables(args.launcher, args.local_rank)
    if not torch.cuda.is_available():
        use_cpus(config, args.launcher)
    else:
        check_devices(args.launcher, torch.cuda.device_count())


def leave_out_hooks(config: Config) -> None:
    """Leave out the hooks that `default_hooks` sets to None; MMEngine does so only for those that it has itself."""
    hooks = config.get('default_hooks') or {}
    for name in [name for name, hook in hooks.items() if hook is None and name not in MMENGINE_HOOKS]:
        del hooks[name]


def use_cpus(config: Config, launcher: str) -> None:
    """Connect the processes with gloo; MMEngine would set a CUDA device for every launcher, and give DDP its index."""
    if not torch.distributed.is_initialized():
        if 'MASTER_ADDR' not in os.environ:
            os.environ['MASTER_ADDR'] = first_node(launcher)
        timeout = config.get('env_cfg', {}).get('dist_cfg', {}).get('timeout')
        timeout = None if timeout is None else timedelta(seconds=timeout)
        try:
            torch.distributed.init_process_group('gloo', timeout=timeout)
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f'the processes cannot be connected at {os.environ["MASTER_ADDR"]}, port '
                f'{os.environ["MASTER_PORT"]}: {str(error).splitlines()[0]}. Another MASTER_ADDR or '
                'MASTER_PORT may be free.'
            ) from error
        atexit.register(disconnect)
    config.merge_from_dict(dict(env_cfg=dict(dist_cfg=dict(backend='gloo'))))
    wrapper = dict(type='MMDistributedDataParallel', broadcast_buffers=False)
    config.model_wrapper_cfg = {**wrapper, **(config.get('model_wrapper_cfg') or {}), 'device_ids': None}


def disconnect() -> None:
    """Leave the other processes and end gloo's threads: one that asks for Python's lock at the exit aborts it."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
        gc.collect()  # a runner lies in circles of references, and its model keeps the group with its threads


def first_node(launcher: str) -> str:
    """Return the name of the machine where process 0 runs."""
    nodes = os.environ.get('SLURM_NODELIST')
    if launcher != 'slurm' or nodes is None:
        raise InputError(f'--launcher {launcher} on CPUs needs MASTER_ADDR, the address of the machine of process 0.')
    return subprocess.run(
        ['scontrol', 'show', 'hostnames', nodes], check=True, capture_output=True, text=True
    ).stdout.split()[0]


def build_runner(config: Config) -> Runner | FlexibleRunner:
    """Build the runner that `runner_type` of `config` names, by default MMEngine's Runner.

    Raises:
        InputError: If a strategy is to spread the training over processes, and there is one only.
    """
    kind = config.get('runner_type', 'Runner')
    if kind == 'FlexibleRunner' and config.get('strategy') and config.get('launcher', 'none') == 'none':
        raise InputError(
            f'the strategy {config.strategy.type} is for processes that a launcher starts: '
            'use tools/dist_train.sh, or torchrun and --launcher pytorch.'
        )
    runner_class = RUNNERS.get(kind) if isinstance(kind, str) else None
    if runner_class is None:
        raise InputError(f"runner_type has to be 'Runner' or 'FlexibleRunner', got {kind!r}.")
    name = config.get('experiment_name') or config.filename
    while _begun.get(name) == time.strftime(SECOND):
        time.sleep(0.05)
    with brief_console():
        runner = runner_class.from_cfg(config)
    _begun[name] = runner.timestamp
    if runner.world_size > 1:
        runner.logger.info(f'Distributed training: {runner.world_size} processes')
    runner.logger.info(f'Environment, config and hooks: {log_file(runner)}')
    return runner


def log_file(runner: Runner | FlexibleRunner) -> str:
    """Return the path of the file that a runner logs to; see `shown_path`."""
    return shown_path(runner.logger.log_file)


def shown_path(path: str | Path) -> str:
    """Return `path` as seen from the current folder where it lies below that."""
    place = Path(path)
    return str(place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place)


def keep_installed_backends(config: Config) -> None:
    """Leave out the TensorBoard backend where TensorBoard is not installed; everything else still is logged."""
    if importlib.util.find_spec('tensorboard') is None:
        backends = config.visualizer.get('vis_backends') or []
        kept = [backend for backend in backends if backend['type'] != 'TensorboardVisBackend']
        if len(kept) < len(backends):
            print('TensorBoard is not installed, so nothing is logged to it: pip install tensorboard')
            config.visualizer.vis_backends = kept
