"""`ConsistencyModel` as MMagic's inferencers, hooks and metrics call it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmcm import models
from mmcm.apis.request import SampleRequest, check_latents
from mmcm.datasets.labels import resolve_classes
from mmcm.noise.generators import Noise, SampleNoise, as_seed, sample_seeds
from mmcm.registry import MODELS, NOISES
from mmcm.structures import DataSample, labels_of
from mmcm.utils.errors import InputError

DEFAULTS = dict(num_samples=4, batch_size=None, seed=None, noise=None)


@MODELS.register_module()
class ConsistencyModel(models.ConsistencyModel):
    """A consistency model that also takes the calls of MMagic: `model(dict(num_batches=4))`, `infer`, `noise_fn`.

    It is what the config type `ConsistencyModel` builds, so that one config serves both libraries. Samples that MMagic
    asks for have images as MMagic has them, BGR in three channels.

    Args:
        denoiser (dict): See `mmcm.models.ConsistencyModel`, as for all arguments but `requests`.
        requests (dict, optional): Defaults of MMagic's calls: `num_samples`; `batch_size`, by default all at once;
            `seed` of the noise and of random labels, by default from torch's own random state; `noise`, the name of a
            noise generator for that seed, by default one generator per image.
        **kwargs: See `mmcm.models.ConsistencyModel`.
    """

    def __init__(self, denoiser: dict, *args: Any, requests: dict | None = None, **kwargs: Any) -> None:
        unknown = set(requests or ()) - set(DEFAULTS)
        if unknown:
            raise InputError(f'model.requests takes {", ".join(DEFAULTS)}, got {", ".join(sorted(unknown))}.')
        super().__init__(denoiser, *args, **kwargs)
        self.requests = {**DEFAULTS, **(requests or {})}

    def forward(
        self,
        inputs: Tensor | dict | None = None,
        data_samples: DataSample | Sequence[DataSample] | None = None,
        mode: str = 'tensor',
    ) -> dict | list | Tensor:
        """Answer a call of MMagic if `inputs` is a dict, in any mode; else see `mmcm.models.ConsistencyModel`."""
        if isinstance(inputs, dict):
            return self.answer(inputs, data_samples)
        return super().forward(inputs, data_samples, mode)

    def answer(self, inputs: dict, data_samples: DataSample | Sequence[DataSample] | None = None) -> list:
        """Sample what a call of MMagic asks for.

        Args:
            inputs (dict): `num_batches`, the number of images; `labels`, one for all or one for each, random by
                default; `noise`, standard normal, (N, C, H, W), in place of a number; `sample_model`, 'ema' (by
                default), 'orig' (the trained weights themselves) or 'ema/orig'; `sample_kwargs`, with `seed` and
                `batch_size` in place of the model's `requests`.
            data_samples (DataSample | Sequence, optional): Samples with labels, where `inputs` has none.

        Returns:
            list[DataSample]: One for each image, with `fake_img`, uint8 BGR, (3, H, W), or `ema` and `orig` with one
            each; `gt_label`, if the model has classes; and `sample_model`.
        """
        options = {**self.requests, **inputs.get('sample_kwargs', {})}
        latents = inputs.get('noise')
        num_images = len(latents) if latents is not None else inputs.get('num_batches') or options['num_samples']
        labels = inputs.get('labels')
        if labels is None:
            labels = labels_of(data_samples)
        which = inputs.get('sample_model') or 'ema'
        if not set(which.split('/')) <= {'ema', 'orig'}:
            raise InputError(f"sample_model has to be 'ema', 'orig' or 'ema/orig', got {which!r}.")
        request = self._request(labels, num_images, options, latents)
        sampled = {name: bgr(self._run(request, online=name == 'orig')) for name in which.split('/')}
        samples = []
        for index in range(num_images):
            label = None if request.labels is None else request.labels[index]
            images = {name: DataSample(fake_img=sampled[name][index]) for name in sampled}
            fields = images if len(images) > 1 else dict(fake_img=images[which].fake_img)
            samples.append(DataSample.of(label, sample_model=which, **fields))
        return samples

    def infer(self, class_id: int | Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray | list]:
        """Sample the `requests` of the model.

        Args:
            class_id (int | Sequence[int], optional): The class of the images; random by default.

        Returns:
            tuple: The images, uint8 RGB, (N, H, W, C), and their labels, (N,), or an empty list without classes.
        """
        request = self._request(class_id, self.requests['num_samples'], self.requests)
        images = self._run(request).permute(0, 2, 3, 1).cpu().numpy()
        return images, [] if request.labels is None else np.array(request.labels)

    def noise_fn(self, num_batches: int) -> Tensor:
        """Return standard normal noise for `num_batches` images, (N, C, H, W), by torch's own random state."""
        return torch.randn(num_batches, *self.latent_shape, dtype=torch.float32, device='cpu')

    def _request(self, labels: Any, num_images: int, options: dict, latents: Tensor | None = None) -> SampleRequest:
        # Two numbers from torch's random state where there is no seed, the first one for labels.
        check_latents(latents, (num_images, *self.latent_shape))
        seeds = torch.randint(2**31, (2,), device='cpu').tolist() if options['seed'] is None else 2 * [options['seed']]
        label_seed, seed = seeds
        return SampleRequest(
            num_images,
            self.checked_sampler(),
            options['batch_size'] or num_images,
            as_seed(label_seed),
            classes=resolve_classes(labels, self.num_classes),
            num_classes=self.num_classes,
            latents=latents,
            noise=noise_source(options['noise'], num_images, as_seed(seed)),
        )

    def _run(self, request: SampleRequest, online: bool = False) -> Tensor:
        """Return the images of `request`, uint8, (N, C, H, W), on the model's device."""
        return request.run(self, online=online).pixels.to(self._inference_device)


def noise_source(name: str | None, num_images: int, seed: int | list[int]) -> Callable[[slice], Noise]:
    """Return the source of noise for each slice of `num_images`: the generator `name`, by default one per image."""
    seeds = sample_seeds(num_images, seed) if name is None else ()

    def noise_of(part: slice) -> Noise:
        if name is None:
            return SampleNoise(seeds[part])
        noise = NOISES.build(dict(type=name, num_samples=num_images, seed=seed))
        noise.set_done_samples(part.start)
        return noise

    return noise_of


def bgr(images: Tensor) -> Tensor:
    """Return RGB or grey images (N, C, H, W) as BGR ones of three channels, as MMagic has them."""
    return images.expand(-1, 3, -1, -1).flip(1)
