"""Several configs for one `mmcm train`: a teacher and its student, in order."""

import copy
import gc
import os
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmcm.checkpoints import holds_run
from mmcm.checkpoints.work_directory import finished_goal
from mmcm.utils.errors import InputError
from mmcm.utils.mmengine_compat import content

SOURCES = (('load_from',), ('model', 'init_from'), ('model', 'teacher', 'checkpoint'))  # settings that name weights
ENDS = dict(max_iters='iteration', max_epochs='epoch')
OF_WORKERS = ('persistent_workers', 'prefetch_factor', 'timeout', 'multiprocessing_context')


def default_folder(name: str) -> Path:
    """Return the work directory of the config `name` where neither the command nor the config sets one."""
    return Path('work_dirs') / Path(name).stem


def stage_arguments(args: Namespace) -> list[Namespace]:
    """Return the arguments of each training of the command; `--work-dir` of several is the parent of their folders."""
    names = args.config
    if len(names) == 1:
        return [Namespace(**{**vars(args), 'config': names[0]})]
    stages = []
    for name in names:
        folder = None if args.work_dir is None else str(Path(args.work_dir) / Path(name).stem)
        stages.append(Namespace(**{**vars(args), 'config': name, 'work_dir': folder}))
    return stages


def link(configs: Sequence[Config], names: Sequence[str]) -> None:
    """Let weights that are named by the default work directory of an earlier config be those that it trains.

    Raises:
        InputError: If two trainings have the same work directory.
    """
    folders: dict[Path, str] = {}
    trained: dict[Path, Path] = {}
    for config, name in zip(configs, names):
        folder = Path(config.work_dir).resolve()
        if folder in folders:
            raise InputError(
                f'{folders[folder]} and {name} would both be trained in {config.work_dir}: rename one of the files, or '
                'set its work_dir in the config.'
            )
        folders[folder] = name
        for keys in SOURCES:
            place, key = place_of(content(config), keys)
            if place is None or not isinstance(place.get(key), str):
                continue
            given = Path(os.path.normpath(place[key]))
            for default, actual in trained.items():
                if given.is_relative_to(default):
                    place[key] = str(actual / given.relative_to(default))
        trained[default_folder(name)] = Path(config.work_dir)


def place_of(config: Any, keys: Sequence[str]) -> tuple[Any, str]:
    """Return the dict that holds the setting at `keys`, None if there is none, and the key of the setting in it."""
    for key in keys[:-1]:
        config = config.get(key) if isinstance(config, dict) else None
    if not isinstance(config, dict):
        return None, keys[-1]
    if isinstance(config.get(keys[-1]), dict):  # with settings of its own beside the checkpoint
        return config[keys[-1]], 'checkpoint'
    return config, keys[-1]


def is_finished(config: Config) -> bool:
    """Return whether the training of `config` has run to its end in its work directory, validation included."""
    goal = goal_of(config)
    found = finished_goal(config.work_dir) if holds_run(config.work_dir) else None
    return goal is not None and found is not None and goal[0] == found[0] and goal[1] <= found[1]


def goal_of(config: Config) -> tuple[str, int] | None:
    """Return where the training of `config` ends, such as ('iteration', 3000); None if it does not say."""
    return next(
        ((word, int(config.train_cfg[key])) for key, word in ENDS.items() if config.train_cfg.get(key) is not None),
        None,
    )


def check_stages(configs: Sequence[Config], names: Sequence[str]) -> None:
    """Raise an InputError, which names the config, if one of `configs` but the first cannot be built.

    The first is built at once anyway. Weights that an earlier training makes need not be there yet.
    """
    for position in range(1, len(configs)):
        earlier = [Path(config.work_dir).resolve() for config in configs[:position]]
        try:
            check_sources(configs[position], earlier)
            check_building(configs[position])
        except InputError as error:
            raise InputError(f'{names[position]}, which is trained later: {error}') from error


def check_sources(config: Config, earlier: Sequence[Path]) -> None:
    """Raise an InputError if weights that `config` starts from are missing, and not made in one of `earlier`."""
    from mmcm.checkpoints.checkpoint import Checkpoint

    for keys in SOURCES:
        place, key = place_of(content(config), keys)
        source = None if place is None else place.get(key)
        if not isinstance(source, str) or source == 'teacher':
            continue
        if not any(Path(source).resolve().is_relative_to(folder) for folder in earlier):
            Checkpoint.open(source).locate()


def check_building(config: Config) -> None:
    """Build model, data, optimiser, hooks and validation of `config`, and let go of them again."""
    from mmengine.runner import Runner

    from mmcm.cli.building import built_from_config
    from mmcm.cli.runner import build_runner
    from mmcm.engine import DataCheckHook

    if config.get('runner_type', 'Runner') != 'Runner':
        return  # a strategy builds all parts at once, when it trains
    trial = copy.deepcopy(config)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, built_from_config(trial):
        trial.update(
            work_dir=folder, log_level='ERROR', load_from=None, resume=False, experiment_name=Path(folder).name
        )
        trial.visualizer = dict(type='Visualizer', vis_backends=[])
        trial.train_dataloader.num_workers = 0
        for key in OF_WORKERS:
            trial.train_dataloader.pop(key, None)
        runner = build_runner(trial)
        assert isinstance(runner, Runner)
        assert runner.train_loop is not None  # which builds it
        runner.optim_wrapper = runner.build_optim_wrapper(trial.optim_wrapper)
        if trial.get('param_scheduler') is not None:
            runner.build_param_scheduler(trial.param_scheduler)
        assert (runner.val_loop is None) == (trial.get('val_cfg') is None)  # which builds it
        for hook in runner.hooks:
            if isinstance(hook, DataCheckHook):
                hook.before_train(runner)
        del runner, hook
    free_memory()


def free_memory() -> None:
    """Free what a runner held, which lies in circles of references, for the next one."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
