"""What a run starts from or resumes: fitting the content of a checkpoint to the model, before MMEngine loads it.

MMEngine takes from a checkpoint what has the name and the shape of a weight, and trains on with random weights where
nothing does.
"""

from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_world_size
from mmengine.runner import FlexibleRunner, Runner
from torch import Tensor, nn

from mmcm.checkpoints.formats.training_checkpoint import own_weights
from mmcm.checkpoints.weights import check_finite, check_numbers, chosen_weights
from mmcm.engine.resuming.fitted_weights import NETWORK, FittedWeights
from mmcm.engine.resuming.resumed_run import fit_run
from mmcm.engine.resuming.resumed_trainer import resume_trainer
from mmcm.models.consistency_model import ConsistencyModel
from mmcm.models.initial_weights import check_init_from
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from mmcm.utils.meta_device import without_weights
from mmcm.utils.mmengine_compat import load_option, resume_option
from mmcm.utils.model_wrappers import unwrapped

SHARDED = ('_fsdp_wrapped_module', '_flat_param')  # in the names of parameters that lie in shards


def fit_checkpoint(runner: Runner | FlexibleRunner, checkpoint: dict[str, Any]) -> None:
    """Change the content of `checkpoint` to that of a checkpoint of this run, with all weights of the model.

    The weights of a network alone, such as a released file, become the online weights; for the others see
    `FittedWeights`. Where the run is resumed from a folder of OpenAI's trainer, its step and its optimiser's state get
    the places where MMEngine looks for them. A line of the log says it.

    Raises:
        InputError: If the weights are of another network, or a run cannot be resumed from them.
    """
    model = unwrapped(runner.model)
    if not isinstance(model, ConsistencyModel) or ('state_dict' not in checkpoint and 'meta' in checkpoint):
        return  # not ours, or DeepSpeed's, which keeps the weights elsewhere
    resume = resume_option(runner)
    resumed = bool(resume)
    source = str(resume if isinstance(resume, str) else load_option(runner) or runner.work_dir)
    trainer = checkpoint.pop('openai_trainer', None)
    if resumed and trainer is None and 'meta' not in checkpoint:
        raise InputError(
            f'load_from={source!r} holds weights alone, and neither a step nor the state of an optimiser: '
            'there is nothing to resume. Leave out --resume, and training starts from the weights.'
        )
    weights, notes = training_weights(checkpoint, model, source)
    fitted = FittedWeights(model, expected_weights(runner), source, resumed)
    weights = fitted.fit(weights)
    check_numbers({key: value for key, value in weights.items() if key.startswith(NETWORK)}, source)
    check_finite(weights, source, model)
    if 'state_dict' not in checkpoint:
        checkpoint.clear()
    checkpoint['state_dict'] = weights
    notes += fitted.notes
    if not resumed and model.init_from is not None:
        notes.append(f'model.init_from={check_init_from(model.init_from)!r} is not used')
    if trainer is not None:
        notes += (
            resume_trainer(runner, checkpoint, trainer)
            if resumed
            else [f'the step, {trainer["step"]}, and the optimiser are not taken over: --resume would go on with them']
        )
    elif resumed:
        notes += fit_run(runner, checkpoint, source, fitted.other_teacher)
    check_agreement(checkpoint, source)
    if notes:
        runner.logger.info(f'{source}: {"; ".join(notes)}.')


def check_strategy(config: dict[str, Any]) -> None:
    """Raise an InputError if DeepSpeed is to start from what is no checkpoint of its own: it would take no weights."""
    kind, source = (config.get('strategy') or {}).get('type', ''), config.get('load_from')
    if str(kind).endswith('DeepSpeedStrategy') and source and not any(Path(source).glob('*_model_states.pt')):
        raise InputError(
            f'load_from={source!r} is no checkpoint of DeepSpeed (a folder with *_model_states.pt), which '
            f'reads no others: to start from the weights, set model.init_from={source!r} instead.'
        )


def training_weights(
    checkpoint: dict[str, Any], model: ConsistencyModel, source: str
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the weights in `checkpoint` under the names of a training checkpoint, and a note where they had others."""
    weights = own_weights(checkpoint)
    if weights is not None:
        return weights, []
    network = None if is_sharded(model) else model.denoiser.backbone
    found = chosen_weights(checkpoint, source, network=network).weights
    return {f'{NETWORK}{key}': value for key, value in found.items()}, ['its weights are the online ones']


def is_sharded(model: nn.Module) -> bool:
    """Return whether the weights of a model lie in shards, under other names and of other shapes."""
    return any(part in name for name, _ in model.named_parameters() for part in SHARDED)


def expected_weights(runner: Runner | FlexibleRunner) -> dict[str, torch.Size]:
    """Return the names and shapes of all weights of the model, also of one that lies in shards."""
    model = unwrapped(runner.model)
    if is_sharded(model):
        with without_weights():
            model = MODELS.build(runner.cfg.model)
    return {key: value.shape for key, value in model.state_dict().items()}


def check_agreement(checkpoint: dict[str, Any], source: str) -> None:
    """Raise an InputError if the processes have read different checkpoints, such as files on disks of their own."""
    if get_world_size() == 1:
        return
    sums = [value.double().sum().item() for value in checkpoint['state_dict'].values()]
    # As text, since NaN is not equal to itself.
    read = all_gather_object((checkpoint.get('meta', {}).get('iter'), str(sums)))
    other = next((process for process, content in enumerate(read) if content != read[0]), None)
    if other is not None:
        raise InputError(
            f'process {other} has read another checkpoint than process 0: {source} has to be the same '
            'file on all machines.'
        )
