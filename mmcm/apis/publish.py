"""Publish a training checkpoint: its network alone, in a safetensors file with its config."""

from pathlib import Path

import torch
from torch import Tensor, nn

from mmcm.checkpoints import setting
from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.checkpoints.weights import check_numbers, check_weights, digest
from mmcm.checkpoints.write import write_safetensors
from mmcm.denoisers import without_velocity_head
from mmcm.registry import MODELS
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.files import make_folder
from mmcm.utils.finite import in_dtype
from mmcm.utils.fixed_precision import float32_keys
from mmcm.utils.meta_device import without_weights
from mmcm.version import __version__


def publish(
    checkpoint: str | Path | Checkpoint, out: Path, average: str | None = None, dtype: torch.dtype = torch.float32
) -> Path:
    """Write the weights of `checkpoint` to `out`, with their config and their training step as metadata.

    The metadata, all strings, are `config` (as text), `iteration` and `step` (of the optimiser) that the weights are
    from, `method` (type of the objective), `average` (its decay, or 'online'), `weights_sha256` (see `digest`) and
    `mmcm_version`; empty where the checkpoint does not say. The same checkpoint makes the same file, byte for byte.
    """
    check_out(out)
    checkpoint = Checkpoint.open(checkpoint)
    network = network_of(checkpoint)
    weights, used = checkpoint.weights(average, network)
    if network is None:
        check_numbers(weights, checkpoint.path)
    else:
        check_weights(network, weights, checkpoint.path)
    kept = set() if network is None else float32_keys(network)
    write_published(out, in_dtype(weights, dtype, kept), checkpoint, average or used or '')
    return out


def check_out(out: Path) -> None:
    """Make the folder of `out`; an InputError unless the name of the file is one of safetensors."""
    if out.suffix != '.safetensors':
        raise InputError(f'{out} has to end in .safetensors.')
    make_folder(out.parent)


def write_published(out: Path, weights: dict[str, Tensor], checkpoint: Checkpoint, average: str) -> None:
    """Write `weights` to `out` with the metadata that `publish` lists, of the training checkpoint they are from."""
    method = setting(checkpoint.settings, 'model', 'objective', 'type')
    iteration = checkpoint.meta.get('iter')
    counts = (
        setting(checkpoint.settings, 'optim_wrapper', 'accumulative_counts')
        or setting(checkpoint.settings, 'strategy', 'gradient_accumulation_steps')
        or 1
    )
    if iteration is not None:
        check_count(f"{checkpoint.path}: meta['iter']", iteration, least=0)
        check_count(f'{checkpoint.path}: the number of batches per step in its config', counts)
    metadata = dict(
        mmcm_version=__version__,
        iteration='' if iteration is None else str(iteration),
        step='' if iteration is None else str(iteration // counts),
        method=method if isinstance(method, str) else '',
        average=average,
        weights_sha256=digest(weights),
        config=checkpoint.config_text,
        format='pt',
    )
    write_safetensors(out, weights, metadata)


def network_of(checkpoint: Checkpoint) -> nn.Module | None:
    """Return the network that the config in a checkpoint describes, without memory for weights.

    None stands for a config that does not say it, or that nothing is built from; see `Checkpoint.config`.
    """
    try:
        with without_weights():
            return MODELS.build(without_velocity_head(checkpoint.config['model']['denoiser'])['backbone'])
    except (InputError, KeyError):
        return None
