"""What a resumed run takes from its checkpoint beside the weights, and where the config differs from that of then."""
from collections.abc import Mapping
from typing import Any, Optional, Union

from mmengine.runner import EpochBasedTrainLoop, FlexibleRunner, Runner

from mmcm.engine.resumable_sampler import ResumableSampler
from mmcm.interop import parse_config
from mmcm.utils.errors import InputError
from mmcm.utils.model_wrappers import unwrapped

SHOWN = 5  # settings in a line of the log
START = ('init_from', 'init_cfg')  # settings of a model that a resumed run has no use for


def fit_run(runner: Union[Runner, FlexibleRunner], checkpoint: dict[str, Any], source: str,
            other_teacher: bool) -> list[str]:
    """Fit all but the weights of a training checkpoint to a run that is resumed from it; return notes for the log.

    Args:
        runner (Runner | FlexibleRunner): The run.
        checkpoint (dict): The content of the checkpoint, which is changed.
        source (str): What messages call the checkpoint.
        other_teacher (bool): Whether its teacher is not the one that the config names.

    Raises:
        InputError: If the run cannot go on from it, or if it would overrule a setting of the config.
    """
    meta = checkpoint['meta']
    check_place(runner, meta, source)
    before = config_of(meta)
    notes = teacher_notes(runner, before, source) if other_teacher else []
    notes += [*optimizer_notes(runner, checkpoint, before), *seed_notes(runner, meta)]
    checkpoint.setdefault('message_hub', runner.message_hub.state_dict())
    if not isinstance(checkpoint.setdefault('param_schedulers', []), list):
        raise InputError(f'{source}: its param_schedulers are no list, as those of a run with one optimiser are.')
    changed = model_changes(runner.cfg, before)
    if changed:
        notes.append(f'the model is that of the config now: {", ".join(changed)}')
    return notes


def check_place(runner: Union[Runner, FlexibleRunner], meta: Any, source: str) -> None:
    """Raise an InputError if a checkpoint does not say its iteration, or the run ends before it."""
    place = {key: meta.get(key) if isinstance(meta, Mapping) else None for key in ('epoch', 'iter')}
    wrong = [key for key, value in place.items() if type(value) is not int or value < 0]
    if wrong:
        raise InputError(f'{source} is no training checkpoint: its meta.{wrong[0]} is {place[wrong[0]]!r}. Leave out '
                         '--resume, and training starts from its weights.')
    epochs = isinstance(runner.train_loop, EpochBasedTrainLoop)
    name, end = ('epoch', runner.max_epochs) if epochs else ('iter', runner.max_iters)
    what = 'epoch' if epochs else 'iteration'
    if place[name] > end:
        raise InputError(f'{source} is at {what} {place[name]}, and the run ends at {end}: set '
                         f'train_cfg.max_{name}s to more, or begin a new run without --resume in another --work-dir.')
    if place[name] == end:
        runner.logger.info(f'The run has reached its end, {what} {end}: set train_cfg.max_{name}s to more to go on.')


def config_of(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config that a checkpoint says it was trained with, empty if it says none that can be read."""
    text = meta.get('cfg')
    try:
        return parse_config(text) if isinstance(text, str) else {}
    except InputError:
        return {}


def teacher_notes(runner: Union[Runner, FlexibleRunner], before: Mapping[str, Any], source: str) -> list[str]:
    """Return a note that the teacher is the one in the checkpoint, and not what its file holds now.

    Raises:
        InputError: If the config names another file than when the checkpoint was written.
    """
    if unwrapped(runner.model).objective.needs_same_teacher:  # which the network became on the way
        return []
    now, then = (nested(each, 'model', 'teacher', 'checkpoint') for each in (runner.cfg, before))
    if then is not None and str(now) != str(then):
        raise InputError(f'{source} holds the teacher {then!r}, and model.teacher.checkpoint={now!r} has other '
                         'weights: set it back to go on, or train with the other one in another --work-dir, with '
                         'load_from in place of --resume.')
    return [f'the teacher is the one in the checkpoint, not what {now} holds now']


def optimizer_notes(runner: Union[Runner, FlexibleRunner], checkpoint: dict[str, Any],
                    before: Mapping[str, Any]) -> list[str]:
    """Leave the state of another optimiser out of `checkpoint`; return a note if the optimiser starts anew.

    Raises:
        InputError: If the state is of other groups of parameters.
    """
    if not hasattr(runner.optim_wrapper, 'optimizer'):  # several ones
        return []
    kind = type(runner.optim_wrapper.optimizer).__name__
    then = nested(before, 'optim_wrapper', 'optimizer', 'type')
    state = checkpoint.get('optimizer')
    if state is None:
        reason = 'its state is not in the checkpoint'
    elif isinstance(then, str) and then.split('.')[-1] != kind:
        reason = f'the config has {kind}, and the checkpoint {then}'
    else:
        check_groups(runner, state)
        return []
    checkpoint.pop('optimizer', None)
    if isinstance(runner, FlexibleRunner):  # which demands a state
        checkpoint['optimizer'] = runner.optim_wrapper.state_dict()
    return [f'the optimiser starts anew: {reason}']


def check_groups(runner: Union[Runner, FlexibleRunner], state: Any) -> None:
    """Raise an InputError if the state of an optimiser is of other groups of parameters than those of `runner`."""
    groups = state.get('param_groups') if isinstance(state, Mapping) else None
    try:
        there = [len(group['params']) for group in groups]
    except (TypeError, KeyError) as error:
        raise InputError('the checkpoint holds no state of an optimiser: leave out --resume, and training starts from '
                         'its weights.') from error
    here = [len(group['params']) for group in runner.optim_wrapper.optimizer.param_groups]
    sharded = isinstance(runner, FlexibleRunner)  # whose shards are other parameters
    if len(there) != len(here) or (there != here and not sharded):
        raise InputError(f'the optimiser has {sum(here)} parameters in {len(here)} groups, and in the checkpoint '
                         f'{sum(there)} in {len(there)}: set optim_wrapper.paramwise_cfg and model.objective to what '
                         'they were, or start from the weights, with load_from and another --work-dir in place of '
                         '--resume.')


def seed_notes(runner: Union[Runner, FlexibleRunner], meta: dict[str, Any]) -> list[str]:
    """Have the seed of the config count, or else that of the checkpoint, also for the order of the images."""
    now, then = (runner.cfg.get('randomness') or {}).get('seed'), meta.get('seed')
    if then is None or now == then:
        return []
    if now is not None:
        meta['seed'] = now
        return [f'the seed is {now} from here on ({then} before)']
    sampler = runner.train_dataloader.sampler
    if isinstance(sampler, ResumableSampler):  # built before the seed of the run was known
        sampler.seed = then
    return []


def model_changes(config: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Return the settings of the model that are others than when the checkpoint was written."""
    if not isinstance(before.get('model'), Mapping):
        return []
    now, then = (flat({key: value for key, value in each['model'].items() if key not in START})
                 for each in (config, before))
    changed = [f'{key} {now.get(key)!r} (was {then.get(key)!r})' for key in sorted(now.keys() | then.keys())
               if now.get(key) != then.get(key)]
    return changed[:SHOWN] + ['...'] * (len(changed) > SHOWN)


def flat(settings: Mapping[str, Any], prefix: str = 'model.') -> dict[str, Any]:
    """Return nested settings under their names with dots."""
    values: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            values.update(flat(value, f'{prefix}{key}.'))
        else:
            values[prefix + key] = tuple(value) if isinstance(value, (list, tuple)) else value
    return values


def nested(config: Any, *keys: str) -> Optional[Any]:
    """Return a setting of settings, None where there is none."""
    for key in keys:
        config = config.get(key) if isinstance(config, Mapping) else None
    return config
