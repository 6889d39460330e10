"""How MMagic calls a generative model: its inferencer, its hooks and its metrics."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmcm.datasets.sampling_requests import request_labels
from mmcm.noise.generators import SampleNoise, as_seed, sample_seeds
from mmcm.registry import NOISES
from mmcm.structures import DataSample, labels_of
from mmcm.utils.errors import InputError

DEFAULTS = dict(num_samples=4, batch_size=None, seed=None, noise=None)


class MMagicCalls:
    """What `ConsistencyModel` answers to MMagic: samples with images as MMagic has them, BGR in three channels.

    Args:
        requests (dict, optional): What is drawn where a call does not say: `num_samples`; `batch_size`, by default all
            at once; `seed`, from which the noise and random labels follow, by default torch's own random state;
            `noise`, the name of a noise generator for that seed, by default one generator per image.
    """

    def set_requests(self, requests: dict | None) -> None:
        """Keep `requests`, or raise an InputError if there is no such setting."""
        unknown = set(requests or ()) - set(DEFAULTS)
        if unknown:
            raise InputError(f'model.requests takes {", ".join(DEFAULTS)}, got {", ".join(sorted(unknown))}.')
        self.requests = {**DEFAULTS, **(requests or {})}

    def answer(self, inputs: dict, data_samples: DataSample | Sequence[DataSample] | None = None) -> list:
        """Draw what a call of MMagic asks for.

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
        labels = self._labels(labels, num_images, options['seed'])
        noise_of = self._noise_of(num_images, options)
        which = inputs.get('sample_model') or 'ema'
        drawn = {}
        for name in which.split('/'):
            if name not in ('ema', 'orig'):
                raise InputError(f"sample_model has to be 'ema', 'orig' or 'ema/orig', got {which!r}.")
            images = self.batches(
                num_images, labels, noise_of, options['batch_size'] or num_images, latents, online=name == 'orig'
            )
            drawn[name] = bgr(self.data_preprocessor.destruct(torch.cat(list(images))))
        samples = []
        for index in range(num_images):
            label = None if labels is None else labels[index]
            images = {name: DataSample(fake_img=drawn[name][index]) for name in drawn}
            fields = images if len(images) > 1 else dict(fake_img=images[which].fake_img)
            samples.append(DataSample.of(label, sample_model=which, **fields))
        return samples

    def infer(self, class_id: int | Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray | list]:
        """Draw the `requests` of the model.

        Args:
            class_id (int | Sequence[int], optional): The class of the images; random by default.

        Returns:
            tuple: The images, uint8 RGB, (N, H, W, C), and their labels, (N,), or an empty list without classes.
        """
        num_images = self.requests['num_samples']
        labels = self._labels(class_id, num_images, self.requests['seed'])
        noise_of = self._noise_of(num_images, self.requests)
        images = self.batches(num_images, labels, noise_of, self.requests['batch_size'] or num_images)
        images = self.data_preprocessor.destruct(torch.cat(list(images)))
        return images.permute(0, 2, 3, 1).cpu().numpy(), [] if labels is None else np.array(labels)

    def noise_fn(self, num_batches: int) -> Tensor:
        """Return standard normal noise for `num_batches` images, (N, C, H, W), by torch's own random state."""
        return torch.randn(num_batches, *self.image_shape, dtype=torch.float32, device='cpu')

    def _labels(self, labels: Any, num_images: int, seed: int | None) -> list[int] | None:
        if labels is None and self.num_classes is not None:
            labels = 'random'
        if isinstance(labels, (Tensor, np.ndarray)):
            labels = labels.tolist()
        return request_labels(labels, num_images, self.num_classes, random_seed() if seed is None else seed)

    @staticmethod
    def _noise_of(num_images: int, options: dict) -> Callable[[slice], Any]:
        """Return the source of noise for each slice of `num_images`."""
        seed = as_seed(random_seed() if options['seed'] is None else options['seed'])
        if options['noise'] is None:
            seeds = sample_seeds(num_images, seed)
            return lambda part: SampleNoise(seeds[part])

        def noise_of(part: slice) -> Any:
            noise = NOISES.build(dict(type=options['noise'], num_samples=num_images, seed=seed))
            noise.set_done_samples(part.start)
            return noise

        return noise_of


def random_seed() -> int:
    """Return a seed by torch's own random state."""
    return int(torch.randint(2**31, (), device='cpu'))


def bgr(images: Tensor) -> Tensor:
    """Return RGB or grey images (N, C, H, W) as BGR ones of three channels, as MMagic has them."""
    return images.expand(-1, 3, -1, -1).flip(1)
