"""Registries of mmcm, scope `mmcm`.

Where MMEngine has a root registry of the same kind, ours is its child, so that `type='mmcm.ConsistencyModel'` works in
the configs of any OpenMMLab library. Registries without a counterpart in MMEngine (samplers, objectives and their
parts, noise generators, operators of editing) are roots of their own, under the same scope.

Parts of a model are looked up in the scope `mmcm` first and in MMEngine's root next, also when a library with another
default scope (MMagic, say) builds the model.
"""

import re
import warnings
from difflib import get_close_matches
from typing import Any

import mmengine.registry as root
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.registry import DefaultScope, Registry, build_from_cfg

from mmcm.utils.arguments import check_arguments
from mmcm.utils.errors import InputError
from mmcm.zoo import external_bases  # noqa: F401  (configs may inherit from 'mmcm::digits/...')

SCOPE = 'mmcm'
MODULE2PACKAGE.setdefault(SCOPE, SCOPE)  # for mmengine.hub, which finds our configs where mmcm is a wheel


def build_in_scope(cfg: Any, registry: Registry, *args: Any, **kwargs: Any) -> Any:
    """Build `cfg` with `mmcm` as the default scope, so that nested configs need no prefix.

    Raises:
        InputError: If there is no such type, or it does not take these arguments.
    """
    with DefaultScope.overwrite_default_scope(SCOPE):
        name = cfg.get('type') if isinstance(cfg, dict) else None
        if not isinstance(cfg, dict):
            raise InputError(f'a {registry.name} has to be given as a dict of settings, dict(type=...), got {cfg!r}.')
        if not (isinstance(name, str) or callable(name)):
            raise InputError(f'the config of a {registry.name} needs a type, a name, got {name!r} in {dict(cfg)}.')
        if isinstance(name, str) and registry.get(name) is None:
            raise InputError(f'{no_type(registry, name)}?')
        check_arguments(registry.get(name) if isinstance(name, str) else name, cfg)
        try:
            return build_from_cfg(cfg, registry, *args, **kwargs)
        except TypeError as error:
            if is_config_error(error):
                raise InputError(f'the config of {name} does not fit it: {bare(str(error))}') from error
            raise


def bare(message: str) -> str:
    """Return the message of an error that MMEngine raises while it builds a class, without the names of the class."""
    return re.sub(r'^(class `\w+` in \S+\.py: )*((\w+\.)?\w+\(\) )?', '', message)


def no_type(registry: Registry, name: str) -> str:
    """Return that nothing is registered as `name`, with the nearest names, as the beginning of a question."""
    known = list(registry.module_dict)
    above = registry.parent
    while above is not None:
        known += above.module_dict
        above = above.parent
    near = get_close_matches(name, known) or sorted(registry.module_dict) or sorted(known)
    return f'there is no {registry.name} {name!r}; did you mean {" or ".join(near)}'


def is_config_error(error: Exception) -> bool:
    """Return whether `error`, raised while MMEngine builds a part, is the fault of the config."""
    return (
        re.search(
            r'unexpected keyword argument|missing \d+ required|is not in the .+ registry|None is not a callable|'
            r'cfg should be a dict',
            str(error),
        )
        is not None
    )


def _registry(name: str, *locations: str, parent: Registry | None = None) -> Registry:
    return Registry(name, build_func=build_in_scope, parent=parent, scope=SCOPE, locations=list(locations))


MODELS = _registry(
    'model',
    'mmcm.backbones',
    'mmcm.denoisers',
    'mmcm.models',
    'mmcm.mmagic',
    'mmcm.evaluation.features',
    parent=root.MODELS,
)
DATASETS = _registry('dataset', 'mmcm.datasets', parent=root.DATASETS)
FUNCTIONS = _registry('function', 'mmcm.datasets', parent=root.FUNCTIONS)
TRANSFORMS = _registry('transform', 'mmcm.datasets.transforms', parent=root.TRANSFORMS)
METRICS = _registry('metric', 'mmcm.evaluation.metrics', parent=root.METRICS)
EVALUATORS = _registry('evaluator', 'mmcm.evaluation.image_evaluator', parent=root.EVALUATOR)
HOOKS = _registry('hook', 'mmcm.engine', parent=root.HOOKS)
OPTIM_WRAPPERS = _registry('optim_wrapper', 'mmcm.engine', parent=root.OPTIM_WRAPPERS)
# Empty children: without them, MMEngine warns of every part of a run that it builds from its root.
VISUALIZERS = _registry('visualizer', 'mmcm.engine', parent=root.VISUALIZERS)
VISBACKENDS = _registry('vis_backend', 'mmcm.engine', parent=root.VISBACKENDS)
LOOPS = _registry('loop', 'mmcm.engine', parent=root.LOOPS)
LOG_PROCESSORS = _registry('log_processor', 'mmcm.engine', parent=root.LOG_PROCESSORS)
OPTIMIZERS = _registry('optimizer', 'mmcm.engine', parent=root.OPTIMIZERS)
OPTIM_WRAPPER_CONSTRUCTORS = _registry(
    'optimizer wrapper constructor', 'mmcm.engine', parent=root.OPTIM_WRAPPER_CONSTRUCTORS
)
PARAM_SCHEDULERS = _registry('parameter scheduler', 'mmcm.engine', parent=root.PARAM_SCHEDULERS)
DATA_SAMPLERS = _registry('data sampler', 'mmcm.datasets.samplers', parent=root.DATA_SAMPLERS)
MODEL_WRAPPERS = _registry('model_wrapper', 'mmcm.engine', parent=root.MODEL_WRAPPERS)
STRATEGIES = _registry('strategy', 'mmcm.engine', parent=root.STRATEGIES)

SAMPLERS = _registry('sampler', 'mmcm.samplers')
OBJECTIVES = _registry('objective', 'mmcm.objectives')
AUGMENTATIONS = _registry('augmentation', 'mmcm.augmentations')
DISTANCES = _registry('distance', 'mmcm.distances')
CURRICULA = _registry('curriculum', 'mmcm.curricula')
SOLVERS = _registry('ODE solver', 'mmcm.objectives')
TANGENTS = _registry('tangent', 'mmcm.objectives')
WEIGHTINGS = _registry('weighting', 'mmcm.objectives')
SIGMA_DISTRIBUTIONS = _registry('sigma distribution', 'mmcm.noise')
INDEX_DISTRIBUTIONS = _registry('index distribution', 'mmcm.noise')
TIME_DISTRIBUTIONS = _registry('distribution of two times', 'mmcm.noise')
NOISES = _registry('noise generator', 'mmcm.noise')
OPERATORS = _registry('editing operator', 'mmcm.operators')


class _Levels:
    """Stand-in for the former registry LEVELS: it registers a distribution as one of sigmas and as one of indices."""

    @staticmethod
    def register_module(name: str | None = None, force: bool = False, module: type | None = None) -> Any:
        def register(module: type) -> type:
            for registry in (SIGMA_DISTRIBUTIONS, INDEX_DISTRIBUTIONS):
                registry.register_module(name, force, module)
            return module

        return register if module is None else register(module)

    @staticmethod
    def get(key: str) -> Any:
        return SIGMA_DISTRIBUTIONS.get(key) or INDEX_DISTRIBUTIONS.get(key)

    @classmethod
    def build(cls, cfg: dict, *args: Any, **kwargs: Any) -> Any:
        known = SIGMA_DISTRIBUTIONS.get(cfg['type']) is not None
        return (SIGMA_DISTRIBUTIONS if known else INDEX_DISTRIBUTIONS).build(cfg, *args, **kwargs)


def __getattr__(name: str) -> Any:
    if name != 'LEVELS':
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    warnings.warn(
        'mmcm.registry.LEVELS is SIGMA_DISTRIBUTIONS and INDEX_DISTRIBUTIONS now.', DeprecationWarning, stacklevel=2
    )
    return _Levels
