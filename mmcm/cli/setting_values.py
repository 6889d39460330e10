"""Check values of MMEngine's and torch's settings that they accept in silence, or refuse without naming the setting."""

import fnmatch
import logging
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

from mmengine.runner import Priority

from mmcm.utils.arguments import is_number
from mmcm.utils.errors import InputError

LARGEST_SEED = 2**32 - 1  # NumPy's
Rule = tuple[str, Callable[[Any], bool]]


def is_whole(value: Any) -> bool:
    """Return whether `value` is a whole number."""
    return is_number(value) and math.isfinite(value) and float(value).is_integer()


def at_least(least: float) -> Rule:
    """Return the rule that a number is finite and at least so large."""
    return f'a number of at least {least}', lambda value: is_number(value) and least <= float(value) < math.inf


def whole(least: int) -> Rule:
    """Return the rule that a number is whole and at least so large."""
    return f'an integer of at least {least}', lambda value: is_whole(value) and value >= least


POSITIVE: Rule = 'a positive number', lambda value: is_number(value) and value > 0
NUMBER: Rule = 'a finite number', lambda value: is_number(value) and math.isfinite(value)
INTERVAL: Rule = (
    'an integer of at least 1, or -1 for never',
    lambda value: is_whole(value) and (value >= 1 or value == -1),
)
BETAS: Rule = (
    'numbers of at least 0 and below 1, such as (0.9, 0.999)',
    lambda value: (
        isinstance(value, (list, tuple)) and len(value) > 1 and all(is_number(each) and 0 <= each < 1 for each in value)
    ),
)
SEED: Rule = (
    f'an integer from 0 to {LARGEST_SEED}, or None',
    lambda value: value is None or (is_whole(value) and 0 <= value <= LARGEST_SEED and not isinstance(value, float)),
)
SWITCH: Rule = 'True or False', lambda value: isinstance(value, bool)
LEVEL: Rule = (
    'a level of logging, such as INFO',
    lambda value: is_whole(value) or (isinstance(value, str) and isinstance(logging.getLevelName(value), int)),
)
OPTIONS: Rule = 'True, False or a dict of settings', lambda value: value is None or isinstance(value, (bool, Mapping))
NAMED: Rule = (
    'the name of a list of classes, a list of names or None',
    lambda value: value is None or isinstance(value, (str, list, tuple)),
)

TEXT: Rule = 'text or None', lambda value: value is None or isinstance(value, (str, os.PathLike))
NAMED_OR_SETTINGS: Rule = (
    'text, None or a dict with a checkpoint',
    lambda value: value is None or isinstance(value, (str, os.PathLike, Mapping)),
)
TEMPLATE: Rule = (
    'a name with {} for the iteration, such as iter_{}.pth',
    lambda value: value is None or (isinstance(value, str) and '{' in value),
)
PRIORITY: Rule = (
    f'a number from 0 to 100 or one of {", ".join(Priority.__members__)}',
    lambda value: (
        (is_whole(value) and 0 <= value <= 100) or (isinstance(value, str) and value.upper() in Priority.__members__)
    ),
)

# The rule of each setting, by the first place that matches; `*` stands for one name or a part of it.
PLACES: tuple[tuple[Rule, str], ...] = (
    (
        whole(1),
        """
        train_cfg.max_iters train_cfg.max_epochs train_cfg.val_interval *_dataloader.batch_size
        *_dataloader.prefetch_factor *_dataloader.num_batch_per_epoch optim_wrapper.accumulative_counts
        default_hooks.logger.interval log_processor.window_size param_scheduler.end param_scheduler.*.end
        """,
    ),
    (whole(0), 'train_cfg.val_begin *_dataloader.num_workers param_scheduler.begin param_scheduler.*.begin'),
    (at_least(0), '*_dataloader.timeout'),
    (at_least(0), ' '.join(f'optim_wrapper.optimizer.{name}' for name in ('lr', 'weight_decay', 'momentum', 'eps'))),
    (BETAS, 'optim_wrapper.optimizer.betas'),
    (POSITIVE, ' '.join(f'optim_wrapper.clip_grad.{name}' for name in ('max_norm', 'clip_value', 'norm_type'))),
    (POSITIVE, 'auto_scale_lr.base_batch_size'),
    (NUMBER, 'optim_wrapper.paramwise_cfg.*_mult'),
    (NUMBER, ' '.join(f'param_scheduler.{name}' for name in ('eta_min', 'power', 'gamma', 'factor'))),
    (NUMBER, ' '.join(f'param_scheduler.*.{name}' for name in ('eta_min', 'power', 'gamma', 'factor'))),
    (at_least(0), ' '.join(f'param_scheduler.{part}{name}' for part in ('', '*.') for name in ('reference', 'rampup'))),
    (INTERVAL, 'default_hooks.*.interval'),
    (PRIORITY, 'default_hooks.*.priority custom_hooks.*.priority'),
    (TEMPLATE, 'default_hooks.checkpoint.filename_tmpl'),
    (TEXT, 'default_hooks.checkpoint.out_dir load_from model.init_from.checkpoint model.teacher.checkpoint'),
    (NAMED_OR_SETTINGS, 'model.init_from'),
    (SEED, '*_dataloader.sampler.seed randomness.seed'),
    (SWITCH, '*_dataloader.sampler.shuffle resume model.init_from.partial'),
    (LEVEL, 'log_level'),
    (OPTIONS, 'compile'),
    (NAMED, 'class_names'),
)
RULES = {place: rule for rule, places in PLACES for place in places.split()}
MAY_BE_NONE = """
    *_dataloader.batch_size *_dataloader.prefetch_factor *_dataloader.sampler.seed *_dataloader.num_batch_per_epoch
    auto_scale_lr.base_batch_size param_scheduler.eta_min param_scheduler.*.eta_min train_cfg.max_epochs
""".split()


def check_value(path: str, value: Any) -> None:
    """Raise an InputError if the value of the setting at `path` breaks its rule."""
    pattern = next((pattern for pattern in RULES if is_at(path, pattern)), None)
    if pattern is None or (value is None and pattern in MAY_BE_NONE):
        return
    words, met = RULES[pattern]
    if not met(value):
        raise InputError(f'{path} has to be {words}, got {value!r}.')


def is_at(path: str, pattern: str) -> bool:
    """Return whether a place matches a pattern with as many names."""
    return path.count('.') == pattern.count('.') and fnmatch.fnmatchcase(path, pattern)


def check_workers(name: str, loader: Mapping) -> None:
    """Raise an InputError if a loader without workers has settings for workers."""
    if loader.get('num_workers', 0):
        return
    for setting in ('persistent_workers', 'prefetch_factor', 'timeout', 'multiprocessing_context'):
        if loader.get(setting):
            raise InputError(
                f'{name}.{setting}={loader[setting]!r} is for worker processes, and {name}.num_workers is '
                f'0: set it to 1 or more, or leave {setting} out.'
            )
