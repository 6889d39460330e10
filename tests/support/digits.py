"""A tiny model of digits, in the shape of the shipped one, for tests that need a whole model but not a good one."""

from copy import deepcopy

import torch
from mmengine.config import Config

from mmcm.registry import MODELS
from support.parity import fill

BACKBONE = dict(
    type='ADMUNet',
    image_size=8,
    in_channels=1,
    out_channels=1,
    base_channels=32,
    num_res_blocks=1,
    attention_resolutions=(),
    channel_mult=(1,),
    num_classes=10,
    scale_shift_norm=True,
)
EDM2 = dict(  # the denoiser of a diffusion model with a network of EDM2
    type='KarrasDenoiser',
    boundary=False,
    c_noise='log(sigma) / 4',
    backbone=dict(
        type='EDM2UNet',
        image_size=8,
        in_channels=1,
        out_channels=1,
        base_channels=16,
        num_res_blocks=1,
        attention_resolutions=(4,),
        channel_mult=(1, 2),
        num_classes=10,
        num_head_channels=16,
        log_variance_channels=8,
    ),
)


def model_config(**changes):
    """Return the config of a tiny one-step model, with top-level settings changed; None takes one out."""
    config = dict(
        type='ConsistencyModel',
        denoiser=dict(type='KarrasDenoiser', backbone=dict(BACKBONE)),
        sampler=dict(type='MultistepSampler', indices=(0, 5), num_scales=18),
    )
    config.update(changes)
    return {key: value for key, value in deepcopy(config).items() if value is not None}


def objective_config(name='ConsistencyTraining', **changes):
    """Return the config of a consistency objective."""
    return dict(
        type=name,
        curriculum=dict(type='FixedCurriculum', num_scales=18, target_decay=0.5),
        distance=dict(type='L2'),
        **changes,
    )


def build(seed=0, **changes):
    """Build a tiny model with random weights that do not vanish in its zero-initialised layers."""
    torch.manual_seed(seed)
    model = MODELS.build(model_config(**changes))
    randomise(model.denoiser.backbone, seed)
    for average in model._averages():
        average.load_state_dict(model.denoiser.state_dict())
    return model


def randomise(module, seed=0):
    """Give all parameters of `module` values that do not vanish, also where it starts with zeros."""
    weights = fill({key: parameter.shape for key, parameter in module.named_parameters()}, salt=str(seed))
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            parameter.copy_(weights[key])


def write_colour_model(folder):
    """Write config and weights of a tiny unconditional model of colour pictures, 16 x 16; return both paths."""
    backbone = {**BACKBONE, **dict(image_size=16, in_channels=3, out_channels=3, num_classes=None)}
    denoiser = dict(type='KarrasDenoiser', backbone=backbone)
    weights = folder / 'colour.pt'
    torch.save(build(denoiser=denoiser).denoiser.backbone.state_dict(), weights)
    return write_config(folder, 'colour.py', model_config(denoiser=denoiser)), str(weights)


def write_config(folder, name='tiny.py', model=None, **top_level):
    """Write a config file with `model` and return its path."""
    config = Config(dict(default_scope='mmcm', model=model or model_config(), **top_level))
    path = folder / name
    config.dump(path)
    return path
