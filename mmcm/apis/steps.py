"""Steps of a sampler, given as a number, as diffusers' timesteps, or as noise levels."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from mmcm.registry import SAMPLERS
from mmcm.samplers import FlowMapSampler, MultistepSampler, Sampler
from mmcm.utils.checks import as_list, check_count
from mmcm.utils.errors import InputError

CONTINUOUS = 1000  # levels within a step of a model that has no schedule of its own


def sampler_with_steps(
    config: dict[str, Any],
    num_steps: int | None = None,
    timesteps: Sequence[int] | None = None,
    sigmas: Sequence[float] | None = None,
) -> Sampler:
    """Build the sampler of `config` with other steps; see `ConsistencyModelInferencer.__call__`.

    Raises:
        InputError: If more than one kind of steps is given, or they do not fit the sampler.
    """
    given = {
        name: value
        for name, value in dict(num_steps=num_steps, timesteps=timesteps, sigmas=sigmas).items()
        if value is not None
    }
    if len(given) > 1:
        raise InputError(f'{" and ".join(given)} both say where the steps are: give one of them.')
    if num_steps is not None:
        check_count('num_steps', num_steps)
    kind = SAMPLERS.get(config['type'])
    if issubclass(kind, FlowMapSampler) and sigmas is not None:  # its steps to the end are those of a consistency model
        return SAMPLERS.build(dict(type='MultistepSampler', sigmas=numbers('sigmas', sigmas), sigma_min=0.0))
    if not issubclass(kind, MultistepSampler):
        if num_steps is None:
            raise InputError(f'{kind.__name__} has no use for {next(iter(given))}: give num_steps.')
        return SAMPLERS.build({**without(config, 'sigmas', 'times'), 'num_steps': num_steps})
    config = without(config, 'indices', 'sigmas')
    if sigmas is not None:
        config.pop('num_scales', None)
        return SAMPLERS.build({**config, 'sigmas': numbers('sigmas', sigmas)})
    if num_steps == 1:
        return SAMPLERS.build({**config, 'indices': (0,)})
    num_scales = config.get('num_scales')
    if num_scales is None and num_steps is not None:  # trained at all levels, not at those of one schedule
        num_scales = config['num_scales'] = CONTINUOUS * num_steps
    if num_scales is None:
        raise InputError(
            'timesteps needs num_scales, the number of levels that the model was trained with, among the settings of '
            'the sampler. Or give num_steps or sigmas.'
        )
    if num_steps is not None:
        if num_steps > num_scales:
            raise InputError(
                f'num_steps has to be at most {num_scales}, the number of levels of the schedule, got {num_steps}.'
            )
        stride = num_scales // num_steps
        timesteps = list(range(stride * (num_steps - 1), -1, -stride))
    timesteps = as_list('timesteps', timesteps)
    if (
        not all(isinstance(step, Integral) for step in timesteps)
        or timesteps[-1:] != [0]
        or any(a <= b for a, b in zip([num_scales, *timesteps], timesteps))
    ):
        raise InputError(
            f'timesteps have to be integers that descend from at most {num_scales - 1} to 0, such as '
            f'[{num_scales // 2}, 0], got {timesteps}.'
        )
    # At the last level, sigma_min, a consistency model is the identity.
    indices = tuple(int(step) for step in reversed(timesteps) if step < num_scales - 1)
    return SAMPLERS.build({**config, 'indices': indices})


def sampler_from(config: dict[str, Any], sigmas: Sequence[float], num_steps: int | None = None) -> Sampler:
    """Build the sampler of `config` for sampling that starts below sigma_max.

    Args:
        config (dict): Of the model's own sampler.
        sigmas (Sequence[float]): Its levels, descending. Samplers other than those of consistency models have levels of
            their own, and take the first of these as their sigma_max.
        num_steps (int, optional): Steps of such samplers; by default those of `config`.

    Raises:
        InputError: If the levels do not fit the sampler.
    """
    if issubclass(SAMPLERS.get(config['type']), (MultistepSampler, FlowMapSampler)):
        if num_steps is not None:
            raise InputError('num_steps is for samplers that have levels of their own: give sigmas, the levels.')
        return sampler_with_steps(config, sigmas=sigmas)
    if len(sigmas) != 1:
        raise InputError(
            f'{config["type"]} has levels of its own below the first one: give one sigma, got {list(sigmas)}.'
        )
    if num_steps is None and config.get('sigmas') is not None:  # which do not end where the edit begins
        num_steps = SAMPLERS.build(config).num_steps
    steps = {} if num_steps is None else dict(num_steps=num_steps)
    return SAMPLERS.build({**without(config, 'sigmas'), **steps, 'sigma_max': sigmas[0]})


def numbers(name: str, values: Sequence[float]) -> list[float]:
    """Return a list of numbers, or a tensor or array of them, as Python's."""
    return [value.item() if hasattr(value, 'item') else value for value in as_list(name, values)]


def without(config: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Return `config` without some of its settings."""
    return {key: value for key, value in config.items() if key not in keys}
