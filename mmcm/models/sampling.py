"""Sampling from a model: labels, noise and the sampler with the denoiser."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from mmcm.backbones.magnitude_preserving import normalized_once
from mmcm.checkpoints.formats.training_checkpoint import average_name
from mmcm.datasets.labels import check_labels
from mmcm.denoisers import Denoiser, is_flow_map
from mmcm.denoisers.augmented import inner_denoiser
from mmcm.denoisers.guidance import Guidance
from mmcm.denoisers.guidance_input import takes_guidance
from mmcm.models.averages import evaluating
from mmcm.models.guidance import check_guided, guided, guided_nfe
from mmcm.models.guide import Guide
from mmcm.models.latent_autoencoder import LatentAutoencoder
from mmcm.models.output_check import OutputCheck
from mmcm.noise.generators import Noise, SampleNoise
from mmcm.samplers.base import Callback, Denoise, Sampler
from mmcm.structures import DataSample, labels_of
from mmcm.utils.batches import Batches
from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import height_and_width
from mmcm.utils.mmengine_bases import BaseModel


class Sampling(BaseModel):
    """A model that samples.

    Attributes:
        denoiser (Denoiser): The trained denoiser D(x, sigma).
        emas (nn.ModuleDict): Its averages, by the names that `average_name` gives their decays.
        ema_decays (tuple[float | dict, ...]): The decays; the first average samples.
        sampler (Sampler, optional): The sampler.
        guidance (Guidance): The guidance that the model samples with, unless another one is asked for.
        guide (Guide, optional): The second network of autoguidance.
        autoencoder (LatentAutoencoder, optional): What makes pixels of the latents that a latent model denoises.
    """

    denoiser: Denoiser
    emas: nn.ModuleDict
    ema_decays: tuple[float | dict, ...]
    sampler: Sampler | None
    guidance: Guidance
    guide: Guide | None
    autoencoder: LatentAutoencoder | None

    @property
    def inference_denoiser(self) -> Denoiser:
        """The denoiser to sample with: the first average, or the trained one where no average is kept."""
        networks: Any = self.emas  # a ModuleDict has modules of any kind
        return networks[average_name(self.ema_decays[0])] if self.ema_decays else self.denoiser

    @property
    def drawing_denoiser(self) -> Denoiser:
        """Deprecated name of `inference_denoiser`."""
        warnings.warn('drawing_denoiser is inference_denoiser now.', DeprecationWarning, stacklevel=2)
        return self.inference_denoiser

    @property
    def num_classes(self) -> int | None:
        """Number of classes, None for an unconditional model."""
        return self.denoiser.backbone.num_classes

    @property
    def null_label(self) -> int | None:
        """Label of an image whose class is not given, None where the network has no such class."""
        return self.denoiser.null_label

    @property
    def is_guidable(self) -> bool:
        """Whether a scale of guidance can be chosen: by a null class, a second network, or as an input."""
        return self.null_label is not None or self.guide is not None or takes_guidance(self.denoiser)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of what the network denoises: of latents, or of images where there are none."""
        backbone = self.denoiser.backbone
        return (backbone.in_channels, *height_and_width(backbone.image_size, 'image_size'))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return self.latent_shape if self.autoencoder is None else self.autoencoder.image_shape(self.latent_shape)

    def to_images(self, latents: Tensor) -> Tensor:
        """Return the images, in [-1, 1], of what the network has denoised, (N, *`latent_shape`)."""
        images = latents if self.autoencoder is None else self.autoencoder.decode(latents)
        return images.clamp(-1, 1)

    def sampling_weights(self) -> dict[str, Tensor]:
        """Return the weights that an image depends on: of the network, and of the autoencoder if there is one."""
        weights = self.inference_denoiser.get_submodule('backbone').state_dict()
        if self.autoencoder is not None:
            found = self.autoencoder.load().state_dict()
            weights |= {f'autoencoder.{key}': value for key, value in found.items()}
        return weights

    def predict(self, data_samples: Sequence[DataSample]) -> list[DataSample]:
        """Sample the image of each sample from its `sample_seed` and its label."""
        noise = SampleNoise([sample.sample_seed for sample in data_samples])
        images = self.sample(len(data_samples), labels_of(data_samples), noise)
        images = self.data_preprocessor.destruct(images)
        drawn = []
        for sample, image in zip(data_samples, images):
            sample = sample.clone()
            sample.set_data(dict(fake_img=image))
            drawn.append(sample)
        return drawn

    def sample(
        self,
        num_samples: int,
        labels: Tensor | Sequence[int] | int | None = None,
        noise: Noise | None = None,
        latents: Tensor | None = None,
        sampler: Sampler | None = None,
        clip: bool = True,
        callback: Callback | None = None,
        online: bool = False,
        guidance: Guidance | None = None,
    ) -> Tensor:
        """Sample images, as one batch.

        Args:
            num_samples (int): Number of images, N.
            labels (Tensor | Sequence[int] | int, optional): Class of each image, or one for all; exactly when the model
                is class-conditional.
            noise (Noise, optional): Source of noise; by default sample i has the seed i.
            latents (Tensor, optional): Standard normal noise to start from, (N, *`latent_shape`), in place of the first
                noise.
            sampler (Sampler, optional): A sampler other than the model's own.
            clip (bool): Whether each estimate of the clean image is clipped to [-1, 1]. Estimates of latents, which
                have no range, never are; the result always is.
            callback (Callable, optional): Called in each step; see `Sampler`. Its images are latents if the network
                makes these.
            online (bool): Whether to use the trained weights themselves, in place of their first average.
            guidance (Guidance, optional): Guidance other than the model's own.

        Returns:
            Tensor: Images in [-1, 1], (N, C, H, W), float32, on the model's device.

        Raises:
            InputError: If labels, latents, sampler or guidance do not fit.
            NotFiniteError: If the network makes NaN or infinities; the message says why.
        """
        labels = self.check_labels(labels, num_samples)
        shape = (num_samples, *self.latent_shape)
        if latents is not None and tuple(latents.shape) != shape:
            raise InputError(f'latents have to be of shape {shape}, got {tuple(latents.shape)}.')
        noise = SampleNoise(range(num_samples)) if noise is None else noise
        sampler = self.checked_sampler(sampler)
        return self.generate(num_samples, labels, noise, latents, sampler, clip, callback, online, guidance)

    def checked_sampler(self, sampler: Sampler | None = None) -> Sampler:
        """Return `sampler`, by default the model's own; an InputError if there is none."""
        sampler = sampler or self.sampler
        if sampler is None:
            raise InputError('the model has no sampler: set model.sampler in the config, or pass one.')
        check_sampler(self.denoiser, sampler)
        return sampler

    def checked_guidance(
        self, scale: float | None = None, interval: Sequence[float] | None = None, place: str = 'guidance'
    ) -> Guidance:
        """Return the guidance of a request; what is None is that of the model.

        Args:
            scale (float, optional): w; see `Guidance`.
            interval (Sequence[float], optional): Noise levels with guidance.
            place (str): What an error calls the scale.

        Raises:
            InputError: If a value is out of its range, the network cannot be guided, or there is an interval alone.
        """
        chosen = self.guidance.changed(scale, interval)
        check_guided(self.denoiser, chosen, self.null_label, place, self.guide is None)
        return chosen

    def nfe(self, sampler: Sampler, guidance: Guidance | None = None) -> int:
        """Return the NFE per image of `sampler`, with `guidance` (by default the model's own) counted in."""
        if takes_guidance(self.denoiser):
            return sampler.nfe
        return guided_nfe(sampler, self.guidance if guidance is None else guidance)

    @torch.no_grad()
    def generate(
        self,
        num_samples: int,
        labels: Tensor | None,
        noise: Noise,
        latents: Tensor | None,
        sampler: Sampler,
        clip: bool = True,
        callback: Callback | None = None,
        online: bool = False,
        guidance: Guidance | None = None,
    ) -> Tensor:
        """Sample images from arguments that are checked already; see `sample`, which checks them."""
        denoiser = self.denoiser if online else self.inference_denoiser
        device = self._inference_device
        if latents is None:
            latents = noise.randn(num_samples, *self.latent_shape, device=device)
        latents = latents.to(device, torch.float32)
        check = OutputCheck(denoiser, latents=latents)
        denoise = self._denoise_with(labels, clip and self.autoencoder is None, denoiser, check, sampler, guidance)
        networks = [denoiser, *([] if self.guide is None else [self.guide.denoiser])]
        with evaluating(denoiser), normalized_once(*networks) if sampler.nfe > 1 else nullcontext():
            sampled = check.note(sampler(denoise, latents, noise.randn_like, callback))
        check.finish()
        return self.to_images(sampled)

    def draw(
        self, seeds: Sequence[int], labels: Sequence[int] | None = None, batch_size: int | Batches = 64, **options: Any
    ) -> Tensor:
        """Deprecated: `ConsistencyModelInferencer` samples any number of images. Returns uint8 images, on the CPU."""
        warnings.warn('draw and batches are deprecated: use the inferencer.', DeprecationWarning, stacklevel=2)
        batches = self._batches(len(seeds), labels, lambda part: SampleNoise(seeds[part]), batch_size, **options)
        return torch.cat([self.data_preprocessor.destruct(images).cpu() for images in batches])

    def batches(self, *arguments: Any, **options: Any) -> Iterator[Tensor]:
        """Deprecated: `ConsistencyModelInferencer` samples in batches. Yields images in [-1, 1] of each batch."""
        warnings.warn('draw and batches are deprecated: use the inferencer.', DeprecationWarning, stacklevel=2)
        return self._batches(*arguments, **options)

    def _batches(
        self,
        num_samples: int,
        labels: Sequence[int] | None,
        noise_of: Callable[[slice], Noise],
        batch_size: int | Batches,
        latents: Tensor | None = None,
        **options: Any,
    ) -> Iterator[Tensor]:

        def batch(part: slice) -> Tensor:
            some_labels = None if labels is None else labels[part]
            some_latents = None if latents is None else latents[part]
            return self.sample(part.stop - part.start, some_labels, noise_of(part), some_latents, **options)

        return Batches.of(batch_size).run(batch, num_samples)

    def check_labels(self, labels: Tensor | Sequence[int] | int | None, num_samples: int) -> Tensor | None:
        """Return the labels of a batch as the network takes them; see `mmcm.datasets.labels.check_labels`."""
        return check_labels(labels, num_samples, self.num_classes)

    @property
    def _inference_device(self) -> torch.device:
        return next(self.inference_denoiser.parameters()).device

    def _denoise_with(
        self,
        labels: Tensor | None,
        clip: bool,
        denoiser: nn.Module,
        check: OutputCheck,
        sampler: Sampler,
        guidance: Guidance | None = None,
    ) -> Denoise:
        """Return the function of x and sigma that samplers call; `check` sees its output before that is clipped.

        A third argument has the indices of the samples that x holds, where it holds some of them; `next_sigma` has
        the levels that a step of a flow map leads to. `guidance` is by default that of the model.

        Raises:
            InputError: If the sampler or the guidance does not fit the denoiser.
        """
        check_sampler(denoiser, sampler)
        labels = None if labels is None else labels.to(self._inference_device)
        guidance = self.guidance if guidance is None else guidance
        guide = self.guide.on(self._inference_device) if self.guide is not None and guidance.acts else None
        network = guided(denoiser, guidance, self.null_label, guide)

        def denoise(x: Tensor, sigma: Tensor, rows: Tensor | None = None, next_sigma: Tensor | None = None) -> Tensor:
            levels = step_levels(denoiser, sigma, next_sigma, sampler.follows_ode)
            x0 = check.note(network(x, sigma, labels if rows is None or labels is None else labels[rows], **levels))
            return x0.clamp(-1, 1) if clip else x0

        return denoise


def check_sampler(denoiser: nn.Module, sampler: Sampler) -> None:
    """Raise an InputError if `sampler` steps with a flow map, and `denoiser` is none, or has other noise."""
    if not sampler.needs_flow_map:
        return
    if not is_flow_map(denoiser):
        raise InputError(
            f'{type(sampler).__name__} samples from flow maps, whose denoiser is a FlowMapDenoiser, got a '
            f'{type(denoiser).__name__}. Choose another sampler, such as MultistepSampler for a consistency model.'
        )
    needed = inner_denoiser(denoiser).noise_scale
    given = getattr(sampler, 'noise_scale', needed)
    if given != needed:  # its times would be other levels than those of the network
        raise InputError(
            f'the noise of this flow map has noise_scale={needed}, got {given} of its {type(sampler).__name__}: set '
            f'model.sampler.noise_scale={needed} (--sampler noise_scale={needed}).'
        )


def step_levels(denoiser: nn.Module, sigma: Tensor, next_sigma: Tensor | None, follows_ode: bool) -> dict[str, Tensor]:
    """Return the further argument of a flow map for a call at `sigma` (N,); none for other denoisers.

    A solver of the probability flow ODE gets the denoised image of a step of no length, which is that of a diffusion
    model. A sampler of consistency models gets the end of the trajectory.
    """
    if is_flow_map(denoiser) and follows_ode:
        return dict(next_sigma=sigma)
    return {} if next_sigma is None else dict(next_sigma=next_sigma)
