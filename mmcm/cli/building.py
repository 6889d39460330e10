"""Report errors of MMEngine and torch while they build a run from its config, in one line each."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import Registry, build_from_cfg
from mmengine.runner import BaseLoop, FlexibleRunner, Runner

from mmcm.cli.settings import walk
from mmcm.registry import bare, build_in_scope, is_config_error, no_type
from mmcm.utils.errors import TRACEBACK, InputError
from mmcm.utils.failures import machine_failure
from mmcm.utils.interrupts import received
from mmcm.utils.mmengine_compat import is_strategy

# Methods of MMEngine's runners that build a part, and the setting of that part.
BUILDERS = dict(
    __init__='',
    from_cfg='',
    train='',
    val='',
    test='',
    setup_env='env_cfg',
    set_randomness='randomness',
    build_logger='log_level',
    build_log_processor='log_processor',
    build_visualizer='visualizer',
    build_model='model',
    wrap_model='model_wrapper_cfg',
    register_hooks='default_hooks',
    register_default_hooks='default_hooks',
    register_custom_hooks='custom_hooks',
    build_train_loop='train_cfg',
    build_val_loop='val_cfg',
    build_test_loop='test_cfg',
    build_optim_wrapper='optim_wrapper',
    scale_lr='auto_scale_lr',
    build_param_scheduler='param_scheduler',
    build_dataloader='train_dataloader',
    build_evaluator='test_evaluator',
    build_strategy='strategy',
)
FUNCTIONS = dict(
    turn_on_activation_checkpointing='activation_checkpointing',
    turn_on_efficient_conv_bn_eval='efficient_conv_bn_eval',
    scale_lr='auto_scale_lr',
)
LOADING = ('load_or_resume', 'load_checkpoint', 'resume')
BEFORE = ('before_run', 'before_train', 'before_val', 'before_test', 'before_train_epoch')
LONGEST = 300  # characters of a setting in a message


@contextmanager
def built_from_config(config: Config | None = None) -> Iterator[None]:
    """Convert errors that are raised while parts of a run are built to InputErrors that name the setting.

    The block is a whole run, as MMEngine builds optimiser, loaders and loops when they are first needed. Errors of a
    running loop and failures of the machine are raised as they are. If the variable `MMCM_TRACEBACK` is set, the
    commands also print the traceback of the first error.

    Args:
        config (Config, optional): The config of the run, to find the setting.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        failure = building_failure(error, config)
        if failure is None:
            raise
        raise InputError(failure) from error


def building_failure(error: Exception, config: Config | None = None) -> str | None:
    """Return one line about the part that could not be built; None for an error of another kind."""
    if received():  # libraries make an error of their own of an interrupt
        return None
    frames = frames_of(error)
    if is_of_machine(error, config) or not (is_building(frames) or is_config_error(error)):
        return None
    return f'the config cannot be built: {described(error, frames, config)} ({TRACEBACK}=1 shows where).'


def frames_of(error: BaseException) -> list[FrameType]:
    """Return the frames that `error` has passed, the outermost first."""
    frames, place = [], error.__traceback__
    while place is not None:
        frames.append(place.tb_frame)
        place = place.tb_next
    return frames


def is_of_machine(error: Exception, config: Config | None) -> bool:
    """Return whether `error` is a failure of the machine: memory, a disk, a connection, a folder that is gone."""
    if isinstance(error, OSError) and config is not None and not Path(config.work_dir).exists():
        return True
    return isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or machine_failure(error) is not None


def is_building(frames: list[FrameType]) -> bool:
    """Return whether something was built in the innermost frame, or prepared before the first iteration."""
    building = False
    for frame in frames:
        name, owner = frame.f_code.co_name, frame.f_locals.get('self')
        runner = is_runner(owner) or name == 'from_cfg'
        if frame.f_code in (build_from_cfg.__code__, build_in_scope.__code__) or (runner and name in BUILDERS):
            building = True
        elif runner and name == 'call_hook':
            building = frame.f_locals.get('fn_name') in BEFORE
        elif (runner and name in LOADING) or (isinstance(owner, BaseLoop) and name in ('run', 'run_epoch', 'run_iter')):
            building = False
    return building


def is_runner(owner: Any) -> bool:
    """Return whether `owner` is a runner of MMEngine or a strategy, which builds for one."""
    return is_strategy(owner) or isinstance(owner, (Runner, FlexibleRunner))


def described(error: Exception, frames: list[FrameType], config: Config | None) -> str:
    """Return the name of the setting that could not be built, and the reason."""
    content = {} if config is None else config.to_dict()
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = re.sub(r' in <[\w.]+ object at 0x\w+>$', '', bare(' '.join(text.split()))).rstrip('.')
    plain = isinstance(error, (ValueError, AssertionError)) and text
    text = text if plain else f'{type(error).__name__}: {text}'
    for frame in reversed(frames):
        values, name = frame.f_locals, frame.f_code.co_name
        if frame.f_code is build_from_cfg.__code__ and isinstance(values.get('cfg'), Mapping):
            return of_part(text, values, content, not plain)
        setting = FUNCTIONS.get(name) or BUILDERS.get(name)
        if setting:
            value = content.get(setting)
            return f'{setting}: {text}{"" if plain else shown(value)}'
    return text


def of_part(text: str, values: dict[str, Any], content: dict, show: bool) -> str:
    """Return the reason, with the error's `text`, why `build_from_cfg` with local variables `values` failed."""
    given = values['cfg']
    kind = given.get('type')
    called = values.get('obj_cls')
    path = (
        place_of(content, lambda each: each == given)
        or place_of(content, lambda each: each.get('type') == kind is not None)
        or ''
    )
    registry = values.get('registry')
    if kind is None:
        return f'{path or "a part"} has no type, the name of a {getattr(registry, "name", "class")}{shown(given)}'
    if called is None and isinstance(kind, str) and isinstance(registry, Registry):
        return f'{path and f"{path}.type: "}{no_type(registry, kind)}?'
    place = f'{path}, {name_of(kind)}' if path else name_of(kind)
    return f'{place}: {text}{shown(given) if show else ""}'


def name_of(kind: Any) -> str:
    """Return the name of a type in a config."""
    return kind if isinstance(kind, str) else getattr(kind, '__name__', repr(kind))


def place_of(content: dict, met: Any) -> str | None:
    """Return the path of the only dict in a config for which `met` is true; None if there is not exactly one."""
    found = [path for path, value in walk(content) if isinstance(value, dict) and met(value)]
    return found[0] if len(found) == 1 else None


def shown(value: Any) -> str:
    """Return the value of a setting, as a part of a sentence."""
    if value is None or value == {}:
        return ''
    text = repr(dict(value) if isinstance(value, Mapping) else value)
    return f'; it is {text[:LONGEST]}{"..." if len(text) > LONGEST else ""}'
