"""What a run starts from or resumes: fitting the content of a checkpoint to the model, before MMEngine loads it.

MMEngine takes from a checkpoint what has the name of a weight, and trains on with random weights where nothing does.
"""
import warnings
from typing import Any, Union

from mmengine.runner import FlexibleRunner, Runner
from torch import Tensor

from mmcm.engine.steps import iterations_per_step
from mmcm.models.consistency_model import ConsistencyModel
from mmcm.utils.errors import InputError
from mmcm.utils.model_wrappers import unwrapped
from mmcm.utils.weight_checks import check_finite, check_weights
from mmcm.utils.weights import average_name, network_weights, training_weights

ONLINE, NETWORK = 'denoiser.', 'denoiser.backbone.'


def fit_checkpoint(runner: Union[Runner, FlexibleRunner], checkpoint: dict[str, Any]) -> None:
    """Change the content of `checkpoint` to that of a checkpoint of this run.

    The weights of a network alone, such as a released file, become the online weights. The target and the averages that
    the checkpoint lacks become copies of the online weights. Where the run is resumed from a folder of OpenAI's
    trainer, its step and its optimiser's state get the places where MMEngine looks for them. A line of the log says it.

    Raises:
        InputError: If the weights are of another network, or a run cannot be resumed from them.
    """
    model = unwrapped(runner.model)
    if not isinstance(model, ConsistencyModel) or ('state_dict' not in checkpoint and 'meta' in checkpoint):
        return  # not ours, or DeepSpeed's, which keeps the weights elsewhere
    source = runner._load_from or runner.work_dir
    weights = training_weights(checkpoint, f'load_from={source!r}', model.denoiser.backbone)
    check_finite(weights, source, model)
    alone = not any(key.startswith(ONLINE) for key in weights)
    trainer = checkpoint.pop('openai_trainer', None)
    if runner._resume and trainer is None and 'meta' not in checkpoint:
        raise InputError(f'load_from={source!r} holds weights alone, and neither a step nor the state of an optimiser: '
                         'there is nothing to resume. Leave out --resume, and training starts from the weights.')
    notes = []
    if alone:
        weights = {f'{NETWORK}{key}': value for key, value in network_weights(weights).items()}
        notes.append('its weights are the online ones')
    weights, more = with_averages(weights, model)
    check_online(weights, model, source)
    if 'state_dict' not in checkpoint:
        checkpoint.clear()
    checkpoint['state_dict'] = weights
    notes += more
    if trainer is not None:
        notes += resume_trainer(runner, checkpoint, trainer) if runner._resume else [
            f'the step, {trainer["step"]}, and the optimiser are not taken over: --resume would go on with them']
    if notes:
        runner.logger.info(f'{source}: {"; ".join(notes)}.')


def with_averages(weights: dict[str, Tensor], model: ConsistencyModel) -> tuple[dict[str, Tensor], list[str]]:
    """Return `weights` with the target and the averages that `model` has, and what was added or left out."""
    online = {key[len(ONLINE):]: value for key, value in weights.items() if key.startswith(ONLINE)}
    wanted = {f'emas.{average_name(decay)}.': f'the average {decay}' for decay in model.ema_decays}
    if model.target is not None:
        wanted = {'target.': 'the target', **wanted}
    found = {'.'.join(key.split('.')[:2]) + '.' for key in weights if key.startswith('emas.')}
    found |= {'target.'} & {key.split('.')[0] + '.' for key in weights}
    if model.teacher is None:
        found |= {'teacher.'} & {key.split('.')[0] + '.' for key in weights}
    left_out, copied = sorted(found - set(wanted)), [prefix for prefix in wanted if prefix not in found]
    kept = {key: value for key, value in weights.items() if not key.startswith(tuple(left_out) or ('\0', ))}
    kept.update((prefix + key, value) for prefix in copied for key, value in online.items())
    notes = []
    if copied:
        notes.append(f'{" and ".join(wanted[prefix] for prefix in copied)} start as copies of the online weights')
    if left_out:
        names = [prefix[:-1].replace('emas.', 'average ').replace('_', '.') for prefix in left_out]
        notes.append(f'{", ".join(names)} left out, as the model of the config keeps none')
    return kept, notes


def check_online(weights: dict[str, Tensor], model: ConsistencyModel, source: str) -> None:
    """Raise an InputError unless `weights` hold all of the online network and nothing else under its name."""
    if any('_fsdp_wrapped_module' in name or '_flat_param' in name for name, _ in model.named_parameters()):
        return  # sharded: names and shapes are those of the shards
    online = {key[len(NETWORK):]: value for key, value in weights.items() if key.startswith(NETWORK)}
    check_weights(model.denoiser.backbone, online, source)


def resume_trainer(runner: Runner, checkpoint: dict[str, Any], trainer: dict[str, Any]) -> list[str]:
    """Put step and optimiser of OpenAI's `trainer` where MMEngine looks for them; return notes for the log.

    The settings of the optimiser and the schedule of the learning rate are those of the config.
    """
    if not isinstance(runner, Runner):
        raise InputError("a run of OpenAI's trainer is resumed with runner_type='Runner': train one step so; any "
                         'runner resumes the checkpoint that it writes.')
    step, optimizer = trainer['step'], runner.optim_wrapper.optimizer
    iteration = step * iterations_per_step(runner)
    if iteration > runner.max_iters:
        raise InputError(f"OpenAI's trainer was at step {step}, which is iteration {iteration} here, and the run ends "
                         f'at {runner.max_iters}: set train_cfg.max_iters to more.')
    notes = [f"goes on after step {step} of OpenAI's trainer"]
    schedulers = [each for each in runner.param_schedulers or () if not getattr(each, 'by_epoch', True)]
    with warnings.catch_warnings():  # of schedulers that step before the optimiser does: that is what happened
        warnings.simplefilter('ignore')
        for scheduler in schedulers:
            for _ in range(iteration):
                scheduler.step()
    state = runner.optim_wrapper.state_dict()
    found, kind = trainer['optimizer'], type(optimizer).__name__
    if found is None:
        notes.append('the optimiser starts anew, as there is no file of its state')
    elif kind != 'RAdam':
        notes.append(f"the optimiser starts anew, as the config has {kind} and OpenAI's trainer RAdam")
    else:
        names = {parameter: key for key, parameter in unwrapped(runner.model).named_parameters()}
        parameters = [parameter for group in optimizer.param_groups for parameter in group['params']]
        keys = [names[parameter].removeprefix(NETWORK) for parameter in parameters]
        state['state'] = {index: dict(found['state'][key]) for index, key in enumerate(keys) if key in found['state']}
        notes.append('with the state of its optimiser')
        ours = optimizer.param_groups[0]
        other = [f'{key} {ours[key]} (there {theirs})' for key, theirs in found['settings'].items()
                 if key in ours and _plain(ours[key]) != _plain(theirs)]
        if other:
            notes.append(f'settings of the optimiser are those of the config: {", ".join(other)}')
    checkpoint['optimizer'] = state
    checkpoint['message_hub'] = runner.message_hub.state_dict()
    checkpoint['meta'] = dict(
        epoch=0, iter=iteration, dataset_meta=getattr(runner.train_dataloader.dataset, 'metainfo', None))
    notes.append('order of the images and noise are those of this run')
    return notes


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, (list, tuple)) else float(value)
