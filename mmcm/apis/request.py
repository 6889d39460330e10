"""`SampleRequest`: which images to sample from a model, resolved and checked once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mmcm.datasets.class_names import Names
from mmcm.datasets.labels import expand_labels
from mmcm.denoisers.guidance import Guidance
from mmcm.models.consistency_model import ConsistencyModel
from mmcm.models.sampling_loop import Samples, sample_in_batches
from mmcm.noise.generators import Noise, SampleNoise, sample_seeds
from mmcm.samplers import Callback, Sampler
from mmcm.utils.batches import Batches
from mmcm.utils.errors import InputError


@dataclass(frozen=True, eq=False)
class SampleRequest:
    """Images to sample from one model.

    `ConsistencyModelInferencer.request` makes it, and checks all values; whatever samples trusts them.

    Attributes:
        num_images (int): Number of images, N.
        sampler (Sampler): The sampler, with the steps of this request.
        batch_size (int): Images per call of the network, at most.
        seed (int | list[int]): Seed of the request, or the seed of each image.
        clip (bool): Whether each estimate of the clean images is clipped to [-1, 1].
        classes (list[int] | str, optional): Class numbers, which are repeated, or a rule of `mmcm.datasets.labels`;
            None for unconditional models.
        num_classes (int, optional): Number of classes of the model.
        class_names (Names): Names of these classes; empty where they have only numbers.
        latents (Tensor, optional): Standard normal noise to start from, (N, C, H, W).
        noise (Callable, optional): From the rows of a batch to their source of noise, in place of the seeds.
        label_shares (Tensor, optional): Mixtures of labels in place of `classes`, (N, K).
        guidance (Guidance, optional): Guidance of the estimates; None for the model's own.
    """

    num_images: int
    sampler: Sampler
    batch_size: int
    seed: int | list[int] = 0
    clip: bool = True
    classes: list[int] | str | None = None
    num_classes: int | None = None
    class_names: Names = ()
    latents: Tensor | None = None
    noise: Callable[[slice], Noise] | None = None
    label_shares: Tensor | None = None
    guidance: Guidance | None = None

    @cached_property
    def labels(self) -> list[int] | None:
        """The class of each image; None for unconditional models. Made when first asked for: N may be large."""
        if self.classes is None:
            return None
        return expand_labels(self.classes, self.num_images, self.num_classes, self.seed)

    @cached_property
    def seeds(self) -> Sequence[int] | None:
        """The seed of each image; None where `noise` takes their place."""
        if self.noise is not None:
            return None
        return self.seed if isinstance(self.seed, list) else sample_seeds(self.num_images, self.seed)

    @property
    def follows_seeds(self) -> bool:
        """Whether the seeds decide on all noise, and none is given."""
        return self.noise is None and self.latents is None

    @property
    def names(self) -> list[str] | None:
        """The usual name of the class of each image, its number where classes have no names."""
        return names_of(self.labels, self.class_names)

    def rows(self, part: slice) -> 'SampleRequest':
        """Return the request for the images `part` alone."""
        assert self.seeds is not None, 'noise of generators depends on the whole request'
        return replace(
            self,
            num_images=part.stop - part.start,
            seed=list(self.seeds[part]),
            classes=None if self.labels is None else self.labels[part],
            latents=None if self.latents is None else self.latents[part],
            label_shares=None if self.label_shares is None else self.label_shares[part],
        )

    def inputs(self, part: slice) -> tuple[Tensor | None, Noise, Tensor | None]:
        """Return what the network takes for the images `part`: labels, source of noise, and latents."""
        labels = None if self.label_shares is None else self.label_shares[part]
        if self.labels is not None:
            labels = torch.tensor(self.labels[part], dtype=torch.int64, device='cpu')
        latents = None if self.latents is None else self.latents[part]
        if self.noise is not None:
            return labels, self.noise(part), latents
        assert self.seeds is not None, 'there are seeds where there is no noise'
        return labels, SampleNoise(self.seeds[part]), latents

    def run(
        self,
        model: ConsistencyModel,
        callback: Callback | None = None,
        progress: bool = False,
        batches: Batches | None = None,
        keep_images: bool = False,
        online: bool = False,
    ) -> Samples:
        """Sample the images from `model`, whose weights are loaded.

        Args:
            model (ConsistencyModel): The model.
            callback (Callable, optional): Called in each step of each batch; see `Sampler`.
            progress (bool): Whether to show a progress bar on stderr.
            batches (Batches, optional): A batch size that several requests share, in place of the request's own.
            keep_images (bool): Whether to return the images before their conversion to uint8, too.
            online (bool): Whether to use the trained weights themselves, in place of their first average.
        """

        def batch(part: slice, on_step: Callback) -> Tensor:
            number = part.stop - part.start
            return model.generate(number, *self.inputs(part), self.sampler, self.clip, on_step, online, self.guidance)

        return sample_in_batches(
            batch,
            self.num_images,
            self.batch_size if batches is None else batches,
            model.data_preprocessor.destruct,
            self.sampler.num_steps,
            callback,
            'sampling' if progress else '',
            keep_images,
        )


def check_latents(latents: Any, shape: tuple[int, ...]) -> None:
    """Raise an InputError unless `latents` is None, or a tensor of `shape`."""
    if latents is None:
        return
    if not isinstance(latents, Tensor):
        raise InputError(f'latents have to be a tensor, got {type(latents).__name__}: torch.as_tensor makes one.')
    if tuple(latents.shape) != shape:
        raise InputError(f'latents have to be of shape {shape}, got {tuple(latents.shape)}.')


def names_of(labels: Sequence[int] | None, class_names: Names) -> list[str] | None:
    """Return the usual name of each class of `labels`, its number where classes have no names; None for None."""
    if labels is None:
        return None
    return [class_names[label][0] if class_names else str(label) for label in labels]
