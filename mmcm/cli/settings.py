"""Check the names of settings in a config, before anything is built from it.

Types of values are checked beside them, where the class of a part says them; their range is checked by
`mmcm.cli.setting_values`.
"""

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.utils.data import DataLoader

from mmcm import registry
from mmcm.cli.config_names import MMENGINE_HOOKS
from mmcm.cli.setting_values import check_value, check_workers, is_at
from mmcm.registry import no_type
from mmcm.utils.arguments import check_arguments, parameters_of
from mmcm.utils.errors import InputError
from mmcm.utils.nearest import nearest

RUN = """
    model default_hooks custom_hooks visualizer log_processor randomness env_cfg log_level default_scope resume
""".split()
# Settings at the top level for a training and for a test.
TRAINING = (
    """
    train_cfg train_dataloader val_cfg val_dataloader val_evaluator optim_wrapper param_scheduler auto_scale_lr
    strategy model_wrapper_cfg compile class_names load_from
""".split()
    + RUN
)
TEST = [*RUN, 'test_cfg', 'test_dataloader', 'test_evaluator']

PARTS = (
    registry.MODELS,
    registry.OBJECTIVES,
    registry.AUGMENTATIONS,
    registry.SAMPLERS,
    registry.DISTANCES,
    registry.CURRICULA,
    registry.SOLVERS,
    registry.TANGENTS,
    registry.WEIGHTINGS,
    registry.SIGMA_DISTRIBUTIONS,
    registry.INDEX_DISTRIBUTIONS,
    registry.NOISES,
)
HOOKS = (registry.HOOKS, registry.SAMPLERS)
LOOPS = (registry.LOOPS,)
DATA = (registry.DATASETS, registry.DATA_SAMPLERS, registry.FUNCTIONS, registry.TRANSFORMS)
# Registries of the types below a setting.
REGISTRIES: dict[str, Sequence[Registry]] = {
    'model': PARTS,
    'default_hooks': HOOKS,
    'custom_hooks': HOOKS,
    '*_dataloader': DATA,
    'train_cfg': LOOPS,
    'val_cfg': LOOPS,
    'test_cfg': LOOPS,
    'model_wrapper_cfg': (registry.MODEL_WRAPPERS,),
    'visualizer': (registry.VISUALIZERS, registry.VISBACKENDS),
    'log_processor': (registry.LOG_PROCESSORS,),
    'optim_wrapper': (registry.OPTIM_WRAPPERS, registry.OPTIMIZERS),
    'param_scheduler': (registry.PARAM_SCHEDULERS,),
    '*_evaluator': (registry.EVALUATORS, registry.METRICS, registry.MODELS, registry.DATASETS),
}
# Settings that MMEngine removes from the config of a part before it calls the class, by the name of the registry.
TAKEN_OUT = {
    'hook': ('priority',),
    'optim_wrapper': ('constructor', 'paramwise_cfg', 'optimizer'),
    'parameter scheduler': ('convert_to_iter_based',),
}
# They pass unknown arguments on to a function that fails on them only when the first file is written.
CLOSED = ('CheckpointHook', 'WholeCheckpointHook')

# Registry by which MMEngine builds each part.
BUILT = {
    'optim_wrapper': registry.OPTIM_WRAPPERS,
    'optim_wrapper.optimizer': registry.OPTIMIZERS,
    'param_scheduler': registry.PARAM_SCHEDULERS,
    'param_scheduler.*': registry.PARAM_SCHEDULERS,
    'default_hooks.*': registry.HOOKS,
    'custom_hooks.*': registry.HOOKS,
    'train_cfg': registry.LOOPS,
    'val_cfg': registry.LOOPS,
    'test_cfg': registry.LOOPS,
    'visualizer': registry.VISUALIZERS,
    'visualizer.vis_backends.*': registry.VISBACKENDS,
    'log_processor': registry.LOG_PROCESSORS,
    '*_dataloader.dataset': registry.DATASETS,
    '*_dataloader.sampler': registry.DATA_SAMPLERS,
    '*_dataloader.batch_sampler': registry.DATA_SAMPLERS,
    '*_dataloader.collate_fn': registry.FUNCTIONS,
    'model': registry.MODELS,
}
# Default types of MMEngine.
USUAL = {
    'val_cfg': 'ValLoop',
    'test_cfg': 'TestLoop',
    'log_processor': 'LogProcessor',
    'visualizer': 'Visualizer',
    'optim_wrapper': 'OptimWrapper',
}
LOADER = ('dataset', 'sampler', 'batch_sampler', 'collate_fn', 'worker_init_fn', 'num_batch_per_epoch')
# Parts without a type, whose unknown settings MMEngine ignores.
NAMES = {
    'env_cfg': ('cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'),
    'env_cfg.mp_cfg': ('mp_start_method', 'opencv_num_threads'),
    'auto_scale_lr': ('enable', 'base_batch_size'),
    'optim_wrapper.paramwise_cfg': (
        'custom_keys bias_lr_mult bias_decay_mult norm_decay_mult flat_decay_mult dwconv_decay_mult dcn_offset_lr_mult '
        'bypass_duplicate'
    ).split(),
}
DICTS = """
    model default_hooks default_hooks.* custom_hooks.* randomness env_cfg env_cfg.mp_cfg env_cfg.dist_cfg *_cfg
    *_dataloader *_dataloader.dataset *_dataloader.sampler *_dataloader.batch_sampler *_dataloader.collate_fn
    optim_wrapper optim_wrapper.optimizer optim_wrapper.paramwise_cfg optim_wrapper.clip_grad auto_scale_lr
    visualizer log_processor strategy model.denoiser model.denoiser.backbone model.objective model.sampler
    model.augmentation
""".split()
# These are not None either.
NEEDED = """
    train_cfg train_dataloader train_dataloader.dataset optim_wrapper optim_wrapper.optimizer randomness env_cfg
    model.denoiser model.denoiser.backbone model.objective
""".split()
# Settings that MMEngine's runners need together.
GROUPS = (
    ('train_dataloader', 'train_cfg', 'optim_wrapper'),
    ('val_dataloader', 'val_cfg', 'val_evaluator'),
    ('test_dataloader', 'test_cfg', 'test_evaluator'),
)
LISTS = ('custom_hooks', 'visualizer.vis_backends')


def check_settings(config: Config, parts: Sequence[str]) -> None:
    """Raise an InputError if `config` has an unknown setting, or a value that cannot be used.

    Args:
        config (Config): The config.
        parts (Sequence[str]): Names at its top level that are going to be used, such as `TRAINING`.
    """
    content = {name: value for name, value in config.to_dict().items() if name in parts}
    settings = list(walk(content))
    for path, value in settings:
        check_kind(path, value)
    check_scope(content.get('default_scope'))
    flexible = config.get('runner_type') == 'FlexibleRunner'  # whose `resume` may be a path
    for path, value in settings:
        if not (flexible and path == 'resume'):
            check_value(path, value)
    if content.get('default_scope') == registry.SCOPE:  # else names may mean other classes
        for path, value in settings:
            check_names(path, value)
    for name, value in content.items():
        if name.endswith('_dataloader') and isinstance(value, dict):
            check_workers(name, value)
    if 'train_cfg' in parts:  # commands for tests report missing parts themselves
        check_complete(config)
    if config.get('strategy') and config.get('runner_type', 'Runner') == 'Runner':
        raise InputError(
            "strategy is for another runner than MMEngine's usual one: set runner_type='FlexibleRunner', "
            'or leave strategy out.'
        )


def walk(value: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """Yield the place and the value of each setting below `value`; places in lists are numbers."""
    if path:
        yield path, value
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for name, part in pairs:
        yield from walk(part, f'{path}.{name}' if path else str(name))


def matching(path: str, patterns: Sequence[str]) -> str | None:
    """Return the first of `patterns` that a place matches, None if there is none; `*` stands for one name or a part."""
    return next((pattern for pattern in patterns if is_at(path, pattern)), None)


def check_kind(path: str, value: Any) -> None:
    """Raise an InputError if `value` is no dict, or no list, where it has to be one; parts may be built already."""
    plain = value is None or isinstance(value, (bool, int, float, str, list, tuple))
    if matching(path, DICTS) and plain and (value is not None or matching(path, NEEDED)):
        raise InputError(f'{path} has to be a dict of settings, got {value!r}.')
    if (
        matching(path, LISTS)
        and value is not None
        and (not isinstance(value, (list, tuple)) or any(isinstance(each, (str, int, float)) for each in value))
    ):
        raise InputError(f'{path} has to be a list of dicts, such as [dict(type=...)], got {value!r}.')


def check_complete(config: Config) -> None:
    """Raise an InputError if training, validation or test has some of the parts that it needs, and not all of them."""
    for group in GROUPS:
        missing = [name for name in group if config.get(name) is None]
        if 0 < len(missing) < len(group):
            there = [name for name in group if name not in missing]
            raise InputError(
                f'{" and ".join(there)} need{"s" * (len(there) == 1)} {" and ".join(missing)}: set '
                f'{group[0]}, {group[1]} and {group[2]}, or none of them.'
            )


def check_scope(scope: Any) -> None:
    """Raise an InputError if no library has this default scope."""
    if scope is None or scope in registry.root.MODELS.children:
        return
    if not isinstance(scope, str) or importlib.util.find_spec(scope.split('.')[0]) is None:
        raise InputError(
            f'default_scope has to be that of a library that is installed, such as {registry.SCOPE!r}, got {scope!r}.'
        )


def check_names(path: str, value: Any) -> None:
    """Raise an InputError if `value`, a dict, has an unknown setting, or one that its class does not take."""
    if not isinstance(value, Mapping):
        return
    kind = value.get('type', None if value.get('constructor') else USUAL.get(path))
    if path == 'default_hooks':
        check_hooks(value)
    elif path == 'optim_wrapper.clip_grad':
        function = clip_grad_value_ if kind == 'value' else clip_grad_norm_
        check_arguments(function, value, path)
    elif path == 'randomness':
        check_arguments(Runner.set_randomness, value, path)
    elif path in NAMES:
        check_known(path, value, NAMES[path])
    elif matching(path, ('*_dataloader',)):
        known = (*parameters_of(DataLoader)[0], *LOADER)
        check_known(path, value, known)
        check_arguments(DataLoader, value, path, LOADER)
    elif kind is not None:
        check_part(path, kind, value)


def check_known(path: str, value: Mapping, names: Sequence[str]) -> None:
    """Raise an InputError if a dict has a key that is not in `names`."""
    unknown = next((name for name in value if name not in names), None)
    if unknown is not None:
        raise InputError(f'{path}: nothing reads a setting {unknown!r}{nearest(str(unknown), names)}.')


def check_hooks(hooks: Mapping) -> None:
    """Raise an InputError if `default_hooks` has settings for, or leaves out, a hook that does not exist."""
    names = (*MMENGINE_HOOKS, *(name for name, hook in hooks.items() if isinstance(hook, Mapping) and 'type' in hook))
    for name, hook in hooks.items():
        if isinstance(hook, Mapping) and 'type' not in hook and name not in MMENGINE_HOOKS:
            raise InputError(f'default_hooks has no hook {name!r} that has a type{nearest(name, names)}.')


def check_part(path: str, kind: Any, value: Mapping) -> None:
    """Raise an InputError if the class that `kind` names does not take the settings `value`.

    A class that is not found is left to the registry that builds it.
    """
    if not (isinstance(kind, str) or callable(kind)):
        raise InputError(f'{path}.type has to be a name, got {kind!r}.')
    pattern = matching(path.split('.')[0], list(REGISTRIES))
    for each in REGISTRIES[pattern] if pattern else ():
        called = registered(each, kind) if isinstance(kind, str) else kind
        if called is not None:
            more = TAKEN_OUT.get(each.name, ())
            check_arguments(called, value, path, more)
            if kind in CLOSED:
                check_known(path, value, (*parameters_of(called)[0], *more, 'type', '_scope_'))
            return
    pattern = matching(path, list(BUILT))
    if pattern and isinstance(kind, str) and '.' not in kind and '_scope_' not in value:
        raise InputError(f'the config cannot be built: {path}.type: {no_type(BUILT[pattern], kind)}?')


def registered(place: Registry | None, kind: str) -> Callable | None:
    """Return what is registered as `kind` in a registry or above it, None if nothing is.

    Unlike MMEngine, it imports no module by the name.
    """
    scope, _, name = kind.rpartition('.')
    if place is not None:
        place.import_from_location()
    while place is not None:
        if scope in ('', place.scope) and name in place.module_dict:
            return place.module_dict[name]
        place = place.parent
    return None
