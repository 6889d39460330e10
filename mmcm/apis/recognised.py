"""Recognise bare files of weights, which say nothing of their network, by names and shapes."""

from mmengine.config import Config
from torch import nn

from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.checkpoints.formats.foreign_weights import find_sets, state_dicts
from mmcm.checkpoints.weight_count import count_weights
from mmcm.config import released_config
from mmcm.denoisers import without_velocity_head
from mmcm.registry import MODELS
from mmcm.utils.meta_device import without_weights
from mmcm.zoo import list_models

SIGNATURES = dict(  # a name that no other kind of network here has
    PMFTransformer='x_embedder.proj1.weight', IMFTransformer='x_embedder.proj.weight'
)


def recognised_config(checkpoint: Checkpoint) -> Config | None:
    """Return the config of the released network that the weights in `checkpoint` fit, None if they fit none.

    Weights that were tuned further, such as those of FD-loss, fit the network that they come from.
    """
    if checkpoint.diffusers is not None:
        return None
    names = [name for _, tensors in state_dicts(checkpoint.content) for name in tensors]
    kinds = [kind for kind, sign in SIGNATURES.items() if any(f'.{name}'.endswith(f'.{sign}') for name in names)]
    largest, found = 0, None  # the weights of a deep network have those of a shallow one among them
    for model in list_models() if kinds else ():
        config = released_config(model)
        denoiser = without_velocity_head(config.model.denoiser.to_dict())
        if denoiser['backbone']['type'] in kinds:
            with without_weights():  # names and shapes are all that is needed of it
                network = MODELS.build(denoiser['backbone'])
            size = sum(parameter.numel() for parameter in network.parameters())
            if size > largest and fits(checkpoint, network):
                largest, found = size, config
    return found


def fits(checkpoint: Checkpoint, network: nn.Module) -> bool:
    """Return whether a set of weights in `checkpoint` has the names and shapes of `network`, and values for all."""
    wanted = network.state_dict()
    sets = find_sets(checkpoint.content, wanted, tuple(getattr(network, 'unused_weights', ())))
    num_weights = sum(value.numel() for value in wanted.values())
    return any(
        all(each.weights[key].shape == value.shape for key, value in wanted.items())
        and count_weights(each.weights.values()) >= num_weights  # a small file may declare large tensors
        for each in sets
    )
