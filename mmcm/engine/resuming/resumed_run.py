"""What a resumed run takes from its checkpoint beside the weights, and where the config differs from that of then."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, FlexibleRunner, Runner

from mmcm.checkpoints import parse_config, setting
from mmcm.datasets.samplers.resumable_sampler import ResumableSampler
from mmcm.engine.resuming.resumed_optimizer import fit_optimizer
from mmcm.engine.resuming.resumed_settings import plain
from mmcm.models.consistency_model import ConsistencyModel
from mmcm.utils.errors import InputError
from mmcm.utils.model_wrappers import unwrapped

SHOWN = 5  # settings in a line of the log
START = ('init_from', 'init_cfg')  # settings of a model that a resumed run has no use for


def fit_run(runner: Runner | FlexibleRunner, checkpoint: dict[str, Any], source: str, other_teacher: bool) -> list[str]:
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
    now, before = runner.cfg.to_dict(), config_of(meta)
    notes = teacher_notes(runner, now, before, source) if other_teacher else []
    notes += fit_optimizer(runner, checkpoint, setting(before, 'optim_wrapper', 'optimizer', 'type'))
    notes += seed_notes(runner, meta)
    checkpoint.setdefault('message_hub', runner.message_hub.state_dict())
    if not isinstance(checkpoint.setdefault('param_schedulers', []), list):
        raise InputError(f'{source}: its param_schedulers are no list, as those of a run with one optimiser are.')
    changed = model_changes(now, before)
    if changed:
        notes.append(f'the model is that of the config now: {", ".join(changed)}')
    return notes


def check_place(runner: Runner | FlexibleRunner, meta: Any, source: str) -> None:
    """Raise an InputError if a checkpoint does not say its iteration, or the run ends before it."""
    place = {key: meta.get(key) if isinstance(meta, Mapping) else None for key in ('epoch', 'iter')}
    wrong = [key for key, value in place.items() if type(value) is not int or value < 0]
    if wrong:
        raise InputError(
            f'{source} is no training checkpoint: its meta.{wrong[0]} is {place[wrong[0]]!r}. Leave out '
            '--resume, and training starts from its weights.'
        )
    epochs = isinstance(runner.train_loop, EpochBasedTrainLoop)
    name, end = ('epoch', runner.max_epochs) if epochs else ('iter', runner.max_iters)
    what = 'epoch' if epochs else 'iteration'
    if place[name] > end:
        raise InputError(
            f'{source} is at {what} {place[name]}, and the run ends at {end}: set '
            f'train_cfg.max_{name}s to more, or begin a new run without --resume in another --work-dir.'
        )
    if place[name] == end:
        runner.logger.info(f'The run has reached its end, {what} {end}: set train_cfg.max_{name}s to more to go on.')


def config_of(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config that a checkpoint says it was trained with, empty if it says none that can be read."""
    text = meta.get('cfg')
    try:
        return parse_config(text) if isinstance(text, str) else {}
    except InputError:
        return {}


def teacher_notes(
    runner: Runner | FlexibleRunner, config: Mapping[str, Any], before: Mapping[str, Any], source: str
) -> list[str]:
    """Return a note that the teacher is the one in the checkpoint, and not what its file holds now.

    Raises:
        InputError: If the config names another file than when the checkpoint was written.
    """
    model = unwrapped(runner.model)
    assert isinstance(model, ConsistencyModel) and model.objective is not None  # `fit_checkpoint` has looked
    if model.objective.needs_same_teacher:  # which the network became on the way
        return []
    now, then = (setting(each, 'model', 'teacher', 'checkpoint') for each in (config, before))
    if then is not None and str(now) != str(then):
        raise InputError(
            f'{source} holds the teacher {then!r}, and model.teacher.checkpoint={now!r} has other weights: set it back '
            'to go on, or train with the other one in another --work-dir, with load_from in place of --resume.'
        )
    return [f'the teacher is the one in the checkpoint, not what {now} holds now']


def seed_notes(runner: Runner | FlexibleRunner, meta: dict[str, Any]) -> list[str]:
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
    now, then = (
        {key: value for key, value in model.items() if key not in START} if isinstance(model, Mapping) else {}
        for model in (config.get('model'), before.get('model'))
    )
    changed = list(changes(now, then, 'model')) if then else []
    return changed[:SHOWN] + ['...'] * (len(changed) > SHOWN)


def changes(now: Any, then: Any, name: str) -> Iterator[str]:
    """Yield the settings below `name` that differ; of a part of another type, its type alone."""
    if not isinstance(now, Mapping) or not isinstance(then, Mapping):
        if plain(now) != plain(then):
            yield f'{name} {shown(now)} (was {shown(then)})'
    elif now.get('type') != then.get('type'):
        yield from changes(now.get('type'), then.get('type'), f'{name}.type')
    else:
        for key in sorted(now.keys() | then.keys()):
            yield from changes(now.get(key), then.get(key), f'{name}.{key}')


def shown(value: Any) -> str:
    """Return a setting as text, of a part its type."""
    return f'{value.get("type", "set") if isinstance(value, Mapping) else value!r}'
