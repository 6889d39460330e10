"""The state of the optimiser of a resumed run, also where the model keeps other averages than before."""

from collections.abc import Mapping
from typing import Any

from mmengine.optim import OptimWrapper
from mmengine.runner import FlexibleRunner, Runner
from torch import Tensor

from mmcm.utils.errors import InputError


def fit_optimizer(runner: Runner | FlexibleRunner, checkpoint: dict[str, Any], kind: str | None) -> list[str]:
    """Fit the optimiser's state in `checkpoint` to that of `runner`; return a note if the optimiser starts anew.

    Args:
        runner (Runner | FlexibleRunner): The run.
        checkpoint (dict): The content of the checkpoint, which is changed.
        kind (str, optional): The class of the optimiser when the checkpoint was written, as far as it is known.

    Raises:
        InputError: If the state is of other parameters.
    """
    wrapper = runner.optim_wrapper
    if not isinstance(wrapper, OptimWrapper):  # several optimisers
        return []
    ours = type(wrapper.optimizer).__name__
    if checkpoint.get('optimizer') is None:
        reason = 'its state is not in the checkpoint'
    elif isinstance(kind, str) and kind.split('.')[-1] != ours:
        reason = f'the config has {ours}, and the checkpoint {kind}'
    else:
        checkpoint['optimizer'] = fitted_state(wrapper, checkpoint['optimizer'], isinstance(runner, FlexibleRunner))
        return []
    checkpoint.pop('optimizer', None)
    if isinstance(runner, FlexibleRunner):  # which demands a state
        checkpoint['optimizer'] = wrapper.state_dict()
    return [f'the optimiser starts anew: {reason}']


def fitted_state(wrapper: OptimWrapper, saved: Any, sharded: bool) -> dict[str, Any]:
    """Return the `saved` state of an optimiser with the places that its parameters have in `wrapper`.

    MMEngine gives the optimiser all parameters, also those of the averages, which have no gradient: a model with other
    averages has them at other places. Those with a state are the trained ones, in the order of the model.

    Args:
        wrapper (OptimWrapper): With the optimiser of the run.
        saved (dict): The state in the checkpoint.
        sharded (bool): Whether the parameters may lie in shards, and are known by their names.

    Raises:
        InputError: If the state is of other parameters.
    """
    here = wrapper.optimizer.param_groups
    try:
        there = [list(group['params']) for group in saved['param_groups']]
        states = saved['state']
        places = [(group, place) for group, part in enumerate(there) for place in part if place in states]
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(
            'the checkpoint holds no state of an optimiser: leave out --resume, and training starts from its weights.'
        ) from error
    if [len(part) for part in there] == [len(group['params']) for group in here] or sharded:
        return saved
    trained = [
        (group, parameter) for group, part in enumerate(here) for parameter in part['params'] if parameter.requires_grad
    ]
    if len(trained) != len(places) or not all(
        is_state_of(states[place], parameter) for (_, place), (_, parameter) in zip(places, trained)
    ):
        raise InputError(
            f'the optimiser trains {len(trained)} parameters, and has a state of {len(places)} others in '
            'the checkpoint: set model.objective and optim_wrapper.paramwise_cfg to what they were, or '
            'start from the weights, with load_from and another --work-dir in place of --resume.'
        )
    fresh = wrapper.state_dict()
    indices = {
        parameter: index
        for part, group in zip(fresh['param_groups'], here)
        for index, parameter in zip(part['params'], group['params'])
    }
    fresh['state'] = {indices[parameter]: states[place] for (_, place), (_, parameter) in zip(places, trained)}
    for (theirs, _), (ours, _) in zip(places, trained):  # what has changed since the start, such as the learning rate
        fresh['param_groups'][ours].update(
            (key, value) for key, value in saved['param_groups'][theirs].items() if key != 'params'
        )
    return {**saved, **{key: fresh[key] for key in ('state', 'param_groups')}}


def is_state_of(state: Any, parameter: Tensor) -> bool:
    """Return whether a state may be that of `parameter`: its tensors have the same shape, or another rank."""
    return isinstance(state, Mapping) and all(
        value.shape == parameter.shape
        for value in state.values()
        if isinstance(value, Tensor) and value.ndim == parameter.ndim
    )
