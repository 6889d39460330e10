"""Training with parameters, gradients, optimiser and averages sharded over the processes (FSDP)."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.device import get_device
from mmengine.dist import is_main_process
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

from mmcm.models.training_rules import needs_normalized_weights
from mmcm.objectives.continuous_consistency import ContinuousConsistency
from mmcm.objectives.improved_mean_flow import ImprovedMeanFlow
from mmcm.objectives.mean_flow import MeanFlow
from mmcm.objectives.truncated_consistency_tuning import TruncatedConsistencyTuning
from mmcm.registry import FUNCTIONS, STRATEGIES
from mmcm.utils.errors import InputError
from mmcm.utils.mmengine_compat import saves_whole_weights, seed_strategy, strategies

MMEngineFSDPStrategy: Any = strategies().FSDPStrategy


@STRATEGIES.register_module()
class FSDPStrategy(MMEngineFSDPStrategy):
    """MMEngine's strategy with defaults for a model with averages; it runs on CPUs, too, and can resume.

    Checkpoints are whole ones under the ordinary names, as those of a single process.

    Args:
        model_wrapper (dict, optional): Arguments of `MMFullyShardedDataParallel`. Its `auto_wrap_policy` has to make
            units of the denoisers, as `shard_denoisers` does: an average follows its network shard by shard.
        state_dict_cfg (str | dict): See MMEngine's; 'full' writes whole checkpoints.
        **kwargs: See MMEngine's.
    """

    def __init__(self, *, model_wrapper: dict | None = None, state_dict_cfg: Any = 'full', **kwargs) -> None:
        defaults = dict(type='MMFullyShardedDataParallel', auto_wrap_policy=dict(type='mmcm.shard_denoisers'))
        if get_device() == 'cpu':
            defaults['device_id'] = 'cpu'  # MMEngine's is the index of an accelerator
        super().__init__(model_wrapper={**defaults, **(model_wrapper or {})}, state_dict_cfg=state_dict_cfg, **kwargs)
        if get_device() == 'cpu':  # torch would free the weights that it has just "moved"
            self.state_dict_config.offload_to_cpu = False
            self.optim_state_dict_config.offload_to_cpu = False

    def build_model(self, model: Any) -> nn.Module:
        """Build the model with the weights that MMEngine's Runner, which builds it before all else, starts from."""
        seed_strategy(self, self.randomness)
        model = super().build_model(model)
        check_shardable(model)
        return model

    def build_optim_wrapper(self, optim_wrapper: Any, model: nn.Module | None = None) -> Any:
        """Build the optimiser's wrapper, unless it would clip each process's shard of the gradient by itself."""
        if isinstance(optim_wrapper, dict) and optim_wrapper.get('clip_grad'):
            raise InputError(
                'optim_wrapper.clip_grad does not work with FSDP: MMEngine would clip each shard by its '
                'own norm. Leave it out, or train with DDP.'
            )
        return super().build_optim_wrapper(optim_wrapper, model)

    def save_checkpoint(self, filename: str, **kwargs) -> None:
        """Save a checkpoint, which gets its name only when it is complete."""
        if not saves_whole_weights(self) or '://' in filename:
            super().save_checkpoint(filename, **kwargs)
            return
        path = Path(filename)
        part = path.with_name(f'.{path.name}.{os.getpid()}.part')
        super().save_checkpoint(str(part), **kwargs)
        if is_main_process():
            part.replace(path)

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Load the optimiser's state; MMEngine 0.10.7 passes torch the arguments in a former order."""
        optimizer = self.optim_wrapper.optimizer
        state_dict = FullyShardedDataParallel.optim_state_dict_to_load(
            model=self.model, optim=optimizer, optim_state_dict=state_dict
        )
        self.optim_wrapper.load_state_dict(state_dict)


def check_shardable(model: nn.Module) -> None:
    """Raise an InputError if the objective of `model` uses its network in another way than FSDP expects."""
    objective = getattr(model, 'objective', None)
    if isinstance(objective, (ContinuousConsistency, MeanFlow, ImprovedMeanFlow)):
        raise InputError(
            f'{type(objective).__name__} differentiates the network outside the pass that gathers its '
            'weights, so it cannot be trained with FSDP: train with DDP.'
        )
    if isinstance(objective, TruncatedConsistencyTuning):
        raise InputError(
            'TruncatedConsistencyTuning keeps one of two networks frozen, and FSDP trains all weights of a unit or '
            'none, so it cannot be trained with FSDP: train with DDP.'
        )
    denoiser = getattr(model, 'denoiser', None)
    if denoiser is not None and needs_normalized_weights(denoiser):
        raise InputError(
            'the network has its weights normalised in place before each step, and FSDP would not keep what is written '
            'to gathered weights, so it cannot be trained with FSDP: train with DDP.'
        )


@FUNCTIONS.register_module()
def shard_denoisers(
    module: nn.Module,
    recurse: bool,
    nonwrapped_numel: int,
    blocks: Sequence[str] = ('Block', 'UNetBlock', 'TransformerBlock'),
) -> bool:
    """FSDP's policy for a model with averages: each denoiser is a unit of its own, and so are its blocks.

    Networks of the same shape are then cut in the same places, and `update_averages` works on the shards.

    Args:
        module (nn.Module): The module in question.
        recurse (bool): Whether the question is to look inside it, or to make it a unit.
        nonwrapped_numel (int): Its parameters that are in no unit yet.
        blocks (Sequence[str]): Classes of blocks to make units of.
    """
    if recurse:
        return True
    is_denoiser = isinstance(getattr(module, 'backbone', None), nn.Module)
    return nonwrapped_numel > 0 and (is_denoiser or type(module).__name__ in blocks)
