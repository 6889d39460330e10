"""Going on with a run of OpenAI's trainer: its step and its optimiser's state, where MMEngine looks for them."""

from typing import Any

from mmengine.runner import Runner

from mmcm.engine.resuming.fitted_weights import NETWORK
from mmcm.engine.resuming.resumed_settings import same
from mmcm.engine.steps import iterations_per_step
from mmcm.utils.errors import InputError
from mmcm.utils.model_wrappers import unwrapped


def resume_trainer(runner: Runner, checkpoint: dict[str, Any], trainer: dict[str, Any]) -> list[str]:
    """Put step and optimiser of OpenAI's `trainer` where MMEngine looks for them; return notes for the log.

    The settings of the optimiser and the schedule of the learning rate are those of the config; see `Settings`.
    """
    if not isinstance(runner, Runner):
        raise InputError(
            "a run of OpenAI's trainer is resumed with runner_type='Runner': train one step so; any "
            'runner resumes the checkpoint that it writes.'
        )
    step, optimizer = trainer['step'], runner.optim_wrapper.optimizer
    iteration = step * iterations_per_step(runner)
    if iteration > runner.max_iters:
        raise InputError(
            f"OpenAI's trainer was at step {step}, which is iteration {iteration} here, and the run ends "
            f'at {runner.max_iters}: set train_cfg.max_iters to more.'
        )
    notes = [f"goes on after step {step} of OpenAI's trainer"]
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
        other = [
            f'{key} {ours[key]} (there {theirs})'
            for key, theirs in found['settings'].items()
            if key in ours and not same(ours[key], theirs)
        ]
        if other:
            notes.append(f'settings of the optimiser are those of the config: {", ".join(other)}')
    checkpoint['optimizer'] = state
    checkpoint['message_hub'] = runner.message_hub.state_dict()
    checkpoint['meta'] = dict(
        epoch=0, iter=iteration, dataset_meta=getattr(runner.train_dataloader.dataset, 'metainfo', None)
    )
    notes.append('order of the images and noise are those of this run')
    return notes
