"""The networks that are measured, ours and diffusers', with the same random weights."""

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from mmcm.checkpoints.formats.diffusers_folder import write_folder
from mmcm.checkpoints.formats.diffusers_unet import unet_config
from mmcm.config import read_config
from mmcm.registry import MODELS
from mmcm.zoo import find

IMAGENET = 'cd_imagenet64_lpips'


def backbone_config(name: str):
    """Return the config of the network of a zoo model."""
    return read_config(find(name).config).model.denoiser.backbone


def ours(name: str):
    """Return our network of a zoo model, with random weights."""
    torch.manual_seed(0)
    network = MODELS.build(backbone_config(name)).eval()
    for parameter in network.parameters():  # with zeros, as at the start of training, times differ
        parameter.data.normal_(std=0.02)
    return network


def theirs(name: str):
    """Return diffusers' network of the same architecture."""
    from diffusers import UNet2DModel

    return UNet2DModel(**unet_config(backbone_config(name))).eval()


@contextmanager
def folder(name: str):
    """Write a zoo model with random weights as the folder of a pipeline, which both programs read."""
    with TemporaryDirectory() as parent:
        path = Path(parent) / 'model'
        write_folder(path, read_config(find(name).config).model.to_dict(), ours(name).state_dict())
        yield str(path)
