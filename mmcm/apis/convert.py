"""Convert weights between the files of OpenAI, diffusers and mmcm."""

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from mmcm.apis.recognised import recognised_config
from mmcm.backbones import ADMUNet
from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.checkpoints.formats.diffusers_folder import write_folder
from mmcm.checkpoints.weights import digest
from mmcm.checkpoints.write import write_safetensors, write_torch
from mmcm.config import read_config, released_config
from mmcm.denoisers import TruncatedDenoiser, load_denoiser, without_velocity_head
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from mmcm.utils.finite import in_dtype
from mmcm.utils.fixed_precision import float32_keys
from mmcm.utils.meta_device import without_weights
from mmcm.version import __version__
from mmcm.zoo import lookup, released_sampler

AUGMENTATION = 'augment_emb.weight'
LABELS = 'label_emb.weight'


def convert(
    source: str | Path | Checkpoint,
    out: Path,
    to: str,
    config: str | None = None,
    average: str | None = None,
    dtype: str = 'float32',
    cache_dir: str | None = None,
) -> str:
    """Convert the weights of a checkpoint.

    Args:
        source (str | Path | Checkpoint): The checkpoint, or its name.
        out (Path): File or folder to write.
        to (str): What to write: 'openai' (a state dict), 'diffusers' (a folder) or 'mmcm' (safetensors with config).
        config (str, optional): A config, or its name, where the checkpoint does not have it.
        average (str, optional): Which weights; see `chosen_weights`.
        dtype (str): Precision of what is written.
        cache_dir (str, optional): Where downloads are kept.

    Returns:
        str: SHA-256 of the weights under the names of the released checkpoints: the same for all that is written.

    Raises:
        InputError: If anything cannot be used; nothing has been written then.
    """
    checkpoint = Checkpoint.open(source, cache_dir)
    checkpoint.locate()  # a missing file is reported before its config is looked for
    text, model = config_of(checkpoint, config)
    with without_weights():  # its names and shapes are all that is needed of it
        denoiser = MODELS.build(without_velocity_head(model['denoiser']))
    if isinstance(denoiser, TruncatedDenoiser) and to != 'mmcm':
        raise InputError(
            f'a TruncatedDenoiser has two networks, for high and for low noise levels, and {to} has a place for one: '
            'convert to mmcm.'
        )
    load_denoiser(denoiser, checkpoint, average)
    weights = in_dtype(denoiser.backbone.state_dict(), getattr(torch, dtype), float32_keys(denoiser.backbone))
    sha = digest(weights)
    if to == 'diffusers':
        write_folder(out, model, without_null_class(weights, denoiser.backbone))
    elif to == 'openai':
        if getattr(denoiser.backbone, 'num_conditions', 0):
            raise InputError(
                f"OpenAI's network takes one time, and that of a {type(denoiser).__name__} has further conditions "
                '(num_conditions): convert to mmcm.'
            )
        if not isinstance(denoiser.backbone, ADMUNet):
            kind = type(denoiser.backbone).__name__
            raise InputError(f"OpenAI's program has no network like a {kind}: convert to mmcm (.safetensors).")
        # OpenAI's network knows no augmentation labels, and without labels theirs has no effect.
        weights = without_null_class(weights, denoiser.backbone)
        write_torch(out, {key: value for key, value in weights.items() if key != AUGMENTATION})
    else:
        metadata = dict(mmcm_version=__version__, weights_sha256=sha, config=text, format='pt')
        write_safetensors(out, weights, metadata)
    return sha


def without_null_class(weights: dict[str, Tensor], backbone: Any) -> dict[str, Tensor]:
    """Return `weights` for programs that know no null class: they sample with the classes alone."""
    if getattr(backbone, 'null_label', None) is None or LABELS not in weights:
        return weights
    return {**weights, LABELS: weights[LABELS][: backbone.num_classes]}


def config_of(checkpoint: Checkpoint, given: str | None = None) -> tuple[str, dict[str, Any]]:
    """Return the config that goes with a checkpoint, as text, and its `model`.

    Args:
        checkpoint (Checkpoint): The checkpoint.
        given (str, optional): The config that the user names.

    Raises:
        InputError: If there is none, or it describes no model with a backbone.
    """
    name = given or str(checkpoint)
    released = lookup(name)
    if given or released:
        config: Config = released_config(released) if released else read_config(name)
        levels = released_sampler(str(checkpoint)) or released_sampler(name)
        if levels:
            config.model.sampler.num_scales = levels['num_scales']
        text, values = config.pretty_text, config.to_dict()
    else:
        text, values = checkpoint.config_text, checkpoint.config
        recognised = None if values else recognised_config(checkpoint)
        if recognised is not None:
            text, values = recognised.pretty_text, recognised.to_dict()
    model = values.get('model')
    try:
        model['denoiser']['backbone']['type']
    except (KeyError, TypeError) as error:
        raise InputError(
            f'{name} does not say what network the weights are of (model.denoiser.backbone): give its '
            'config by --config, a file or a name that comes with mmcm.'
        ) from error
    return text, model
