"""Zero-shot editing: Algorithm 4 of Song et al. (2023).

It is multistep sampling, Algorithm 1, with one line more: after each call of the denoiser, what is known of the image
is put back into the estimate (data consistency). So only the denoiser has to change, and every sampler can edit.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmcm.models.averages import evaluating
from mmcm.models.output_check import OutputCheck
from mmcm.models.sampling import Sampling
from mmcm.noise.generators import Noise, SampleNoise
from mmcm.noise.schedules import karras_sigmas
from mmcm.operators import EditingOperator, Tiles, tiled
from mmcm.renamed import moved_name
from mmcm.samplers import Callback, Denoise, FlowMapSampler, MultistepSampler, Sampler
from mmcm.structures import as_labels
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.finite import check_given

NUM_LEVELS = 39  # of 40, the schedule of the released models; the last one has no noise


class Editing(Sampling):
    """A model that edits, by the denoiser that it samples with."""

    @torch.no_grad()
    def edit(
        self,
        images: Tensor,
        operator: EditingOperator,
        labels: Tensor | Sequence[int] | int | None = None,
        num_candidates: int = 1,
        noise: Noise | None = None,
        sampler: Sampler | None = None,
        clip: bool = True,
        callback: Callback | None = None,
        tiles: Tiles | None = None,
        batch_size: int = 64,
        degraded: bool = False,
    ) -> Tensor:
        """Sample images that agree with `images` in what `operator` knows.

        Args:
            images (Tensor): Images in [-1, 1], (N, C, H, W), of the model's size, or of that of `tiles`; only what the
                operator knows of them matters.
            operator (EditingOperator): What is known.
            labels (Tensor | Sequence[int] | int, optional): Class of each image (N), of each candidate (N times K) or
                one for all; exactly when the model is class-conditional.
            num_candidates (int): Different results per image, K.
            noise (SampleNoise, optional): Where noise comes from; by default candidate k of image n has the seed
                n * K + k.
            sampler (Sampler, optional): How to sample; by default see `editing_sampler`.
            clip (bool): Whether each estimate is clipped to [-1, 1] before what is known is put back.
            callback (Callable, optional): Called in each step, for all N times K candidates; see `Sampler`.
            tiles (Tiles, optional): In which images of another size than the model's are denoised.
            batch_size (int): Tiles per call of the network, at most.
            degraded (bool): Whether `images` are what `operator.degrade` has returned.

        Returns:
            Tensor: The candidates, (N, K, C, H, W), float32, on the model's device. They may leave [-1, 1] a little,
            as the known part of the images is kept up to the rounding of float32.

        Raises:
            InputError: If images, operator or labels do not fit the model.
            NotFiniteError: If the network makes NaN or infinities; the message says why.
        """
        check_pixels(self)
        shape = self.image_shape if tiles is None else (self.image_shape[0], *tiles.shape)
        if images.ndim != 4 or images.shape[1:] != shape or not len(images):
            raise InputError(
                f'the pictures to edit have to be of shape (N, {", ".join(map(str, shape))}), '
                f'got {tuple(images.shape)}.'
            )
        check_count('num_candidates', num_candidates)
        total = len(images) * num_candidates
        if labels is not None:
            labels = as_labels(labels).reshape(-1)
            if len(labels) == len(images):
                labels = labels.repeat_interleave(num_candidates)
        labels = self.check_labels(labels, total)
        check_given('the pictures to edit', images)
        images = images.to(self._inference_device, torch.float32)
        operator = operator.to(self._inference_device)
        known = (images if degraded else operator.degrade(images)).repeat_interleave(num_candidates, dim=0)
        sampler = sampler or editing_sampler(self.sampler)
        noise = SampleNoise(range(total)) if noise is None else noise
        # Around what is known, as in the paper; the released code leaves it to the caller, and has no caller.
        latents = operator.start(known, noise.randn_like(known), sampler.first_sigma)
        check = OutputCheck(self.inference_denoiser, latents=latents)
        denoise = self._denoise_with(labels, clip, self.inference_denoiser, check, sampler)
        if tiles is not None:
            denoise = tiled(denoise, tiles, batch_size)
        with evaluating(self.inference_denoiser):
            edited = check.note(sampler(constrain(denoise, operator, known), latents, noise.randn_like, callback))
        check.finish()
        return edited.unflatten(0, (len(images), num_candidates))


def constrain(denoise: Denoise, operator: EditingOperator, known: Tensor) -> Denoise:
    """Return the denoiser whose estimates agree with `known` (N, C, H, W) in what `operator` knows: data consistency.

    The estimates may leave [-1, 1], and so does the result: what is known comes before the range, as in the released
    code.
    """
    return lambda x, sigma, **levels: operator.keep(known, denoise(x, sigma, **levels))


def check_pixels(model: Sampling) -> None:
    """Raise an InputError if `model` denoises latents, of which no part can be set to known pixels."""
    if model.autoencoder is not None:
        raise InputError(
            'a model of latents does not edit images: an edit keeps the pixels that are known, and each latent mixes '
            'many pixels. Choose a model of pixels, such as pmf_b16_imagenet256 (mmcm zoo lists all).'
        )


def editing_sampler(sampler: Sampler | None = None) -> Sampler:
    """Return the default sampler for edits by a model whose own sampler is `sampler`.

    Consistency models go through many levels here, not the one or two that they sample with: estimate and image come to
    agree step by step, which takes steps, also on small things. So do flow maps, as consistency models: their steps to
    the end of the trajectory are those of one. Other models keep their own sampler, which has many.
    """
    if sampler is None or isinstance(sampler, FlowMapSampler):
        return MultistepSampler(sigmas=karras_sigmas(NUM_LEVELS + 1).tolist()[:-1])
    if not isinstance(sampler, MultistepSampler):
        return sampler
    levels = karras_sigmas(NUM_LEVELS + 1, sampler.sigma_min, sampler.first_sigma).tolist()
    return MultistepSampler(sigmas=levels[:-1], sigma_min=sampler.sigma_min)


def __getattr__(name: str) -> object:
    return moved_name(__name__, name)
