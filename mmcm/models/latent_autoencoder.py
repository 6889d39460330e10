"""Autoencoder between pixels and the latents that a latent diffusion model makes (Rombach et al., 2022)."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmcm.checkpoints.autoencoder_folder import AutoencoderFolder
from mmcm.noise.global_batch import noise_for_batch
from mmcm.registry import MODELS
from mmcm.utils.checks import check_count, check_positive
from mmcm.utils.errors import InputError

IMAGE_CHANNELS = 3
MAX_LATENT_CHANNELS = 64


@MODELS.register_module()
class LatentAutoencoder:
    """Pixels of latents, z = (E(x) - mean) / std, by an AutoencoderKL of diffusers, in float32.

    It is no part of the model that is trained, saved or resumed: its weights stay in their own folder, from which they
    are read when they are needed first.

    Args:
        pretrained (str): Where the autoencoder is: a name of `AUTOENCODERS`, a folder on this machine, or the http or
            https address of one, with `config.json` and `diffusion_pytorch_model.safetensors`.
        mean (Sequence[float]): Mean of each channel of E(x).
        std (Sequence[float]): What each channel of E(x) is divided by, after its mean was subtracted.
        value_range (Sequence[float]): Values of black and white that the autoencoder is given and returns.
        downscale (int): Pixels of an image per side of a latent.
        batch_size (int): Images that are decoded at a time, which bounds the memory.

    Raises:
        InputError: If a setting is out of its range.
    """

    def __init__(
        self,
        pretrained: str,
        mean: Sequence[float],
        std: Sequence[float],
        value_range: Sequence[float] = (-1.0, 1.0),
        downscale: int = 8,
        batch_size: int = 4,
    ) -> None:
        check_count('autoencoder.downscale', downscale)
        check_count('autoencoder.batch_size', batch_size)
        self.mean, self.std = numbers('mean', mean), numbers('std', std)
        for value in self.std:
            check_positive('autoencoder.std', value)
        if len(self.mean) != len(self.std):
            raise InputError(
                f'autoencoder.mean and autoencoder.std have a value for each channel of the latents, got '
                f'{len(self.mean)} and {len(self.std)}.'
            )
        self.value_range = numbers('value_range', value_range)
        if len(self.value_range) != 2 or not self.value_range[0] < self.value_range[1]:
            raise InputError(
                f'autoencoder.value_range has to be (black, white) with black < white, got {tuple(value_range)}.'
            )
        self.pretrained = str(pretrained)
        self.downscale = int(downscale)
        self.batch_size = int(batch_size)
        self.network: Any = None  # an AutoencoderKL

    def image_shape(self, latent_shape: Sequence[int]) -> tuple[int, int, int]:
        """Return channels, height and width of the images of latents of `latent_shape`, (C, H, W).

        Raises:
            InputError: If there is not one mean for each channel of the latents.
        """
        channels, height, width = latent_shape
        if channels != len(self.mean):
            raise InputError(
                f'the network makes latents of {channels} channels, and model.autoencoder has mean and std of '
                f'{len(self.mean)}: give one for each channel.'
            )
        return IMAGE_CHANNELS, height * self.downscale, width * self.downscale

    def load(self, cache_dir: str | Path | None = None) -> nn.Module:
        """Read the weights, unless that is done.

        Raises:
            InputError: If diffusers is not installed, or the folder cannot be read or has another autoencoder.
        """
        if self.network is None:
            folder = AutoencoderFolder.open(self.pretrained, cache_dir)
            found = folder.settings
            for name, expected, given in (
                ('latent channels', len(self.mean), found['latent_channels']),
                ('channels of images that go in', IMAGE_CHANNELS, found['in_channels']),
                ('channels of images that come out', IMAGE_CHANNELS, found['out_channels']),
                ('pixels per side of a latent', self.downscale, folder.downscale),
            ):
                if expected != given:
                    raise InputError(
                        f'the autoencoder in {folder.path} has {given} {name}, and model.autoencoder expects '
                        f'{expected}: change its mean, std or downscale, or name another one as pretrained.'
                    )
            self.network = folder.build().requires_grad_(False).eval()
        return self.network

    def on(self, device: torch.device | str) -> Any:
        """Return the network with its weights, on `device`."""
        return self.load().to(device)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return the images of `latents` (N, C, H, W): (N, 3, `downscale` H, `downscale` W), black -1 and white 1.

        They may leave [-1, 1].
        """
        network = self.on(latents.device)
        return torch.cat([self.decode_by(network, part) for part in latents.split(self.batch_size)])

    def decode_by(self, network: Any, latents: Tensor) -> Tensor:
        """Return the images of `latents` (N, C, H, W) by `network`, all at a time; see `decode`."""
        mean, std = self._statistics(latents)
        black, white = self.value_range
        images = network.decode(latents.float() * std + mean, return_dict=False)[0]
        return (images - black) * (2 / (white - black)) - 1

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Return latents of `images` (N, 3, H, W) in [-1, 1], (N, C, H / `downscale`, W / `downscale`).

        The autoencoder gives a normal distribution for each image, from which the latents are drawn; see
        `noise_for_batch`.
        """
        network = self.on(images.device)
        black, white = self.value_range
        values = (images.float() + 1) * ((white - black) / 2) + black
        found = [network.encode(part, return_dict=False)[0] for part in values.split(self.batch_size)]
        centre, spread = (torch.cat([getattr(each, name) for each in found]) for name in ('mean', 'std'))
        mean, std = self._statistics(images)
        return ((centre + spread * noise_for_batch(centre) - mean) / std).contiguous()

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and std of the latents, (1, C, 1, 1), float32, on the device of `like`."""
        options: dict[str, Any] = dict(dtype=torch.float32, device=like.device)
        mean, std = (torch.tensor(values, **options).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return mean, std


def numbers(name: str, values: Any) -> tuple[float, ...]:
    """Return a list of finite numbers; an InputError for anything else, or for none."""
    found = tuple(values) if isinstance(values, (list, tuple)) else ()
    right = [isinstance(each, (int, float)) and not isinstance(each, bool) and math.isfinite(each) for each in found]
    if not 1 <= len(found) <= MAX_LATENT_CHANNELS or not all(right):
        raise InputError(
            f'autoencoder.{name} has to be a list of 1 to {MAX_LATENT_CHANNELS} finite numbers, got {values!r}.'
        )
    return tuple(map(float, found))
