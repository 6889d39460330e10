"""`SampleRequest`: which images to sample from a model, resolved and checked once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from mmcm.datasets.class_names import Names
from mmcm.datasets.labels import class_numbers, expand_labels
from mmcm.models.consistency_model import ConsistencyModel
from mmcm.noise.generators import Noise, RequestNoise, SampleNoise, as_seed, sample_seeds
from mmcm.samplers import Sampler
from mmcm.utils.checks import check_count, check_flag, has_length
from mmcm.utils.errors import InputError
from mmcm.utils.finite import check_given


@dataclass(frozen=True)
class SampleRequest:
    """Images to sample from one model. `resolve_request` checks all values; whatever samples trusts them.

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


class Target(Protocol):
    """Model and defaults that a request is resolved against; `ConsistencyModelInferencer` is one."""

    model: ConsistencyModel
    class_names: Names

    @property
    def batch_size(self) -> int:
        """Images per call of the network, where the request does not say."""

    def choose_sampler(
        self, num_steps: int | None, timesteps: Sequence[int] | None, sigmas: Sequence[float] | None
    ) -> Sampler:
        """Return the sampler with the steps of a request, its own ones where all are None."""


def resolve_request(  # noqa: D417, since `__call__` describes most arguments
    target: Target,
    num_images: int | None = None,
    labels: Any = None,
    seed: int | Sequence[int] | Tensor = 0,
    batch_size: int | None = None,
    num_steps: int | None = None,
    timesteps: Sequence[int] | None = None,
    sigmas: Sequence[float] | None = None,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    latents: Tensor | None = None,
    clip: bool = True,
    sampler: Sampler | None = None,
    default_images: int = 1,
) -> SampleRequest:
    """Check the arguments of a request, and fill in the defaults of the model.

    Args:
        target (Target): The inferencer.
        num_images, labels, seed, batch_size, num_steps, timesteps, sigmas, generator, latents, clip: See
            `ConsistencyModelInferencer.__call__`.
        sampler (Sampler, optional): A sampler, in place of steps; by default the target's own.
        default_images (int): Number of images where neither `num_images` nor a list of labels, latents, seeds or
            generators says it.

    Raises:
        InputError: If the arguments do not fit the model, or each other.
    """
    model = target.model
    if num_images is None:
        lists = [values for values in (labels, latents, seed, generator) if has_length(values)]
        num_images = max(map(len, lists), default=0) or default_images  # type: ignore[arg-type]
    check_count('num_images', num_images)
    num_images = int(num_images)
    check_flag('clip', clip)
    if sampler is None:
        sampler = target.choose_sampler(num_steps, timesteps, sigmas)
    seed = as_seed(seed)
    sample_seeds(num_images, seed)  # an InputError unless all are integers of 64 bits, as many as images
    noise = None if generator is None else RequestNoise(generator, num_images)
    if noise is not None:
        seed = noise.seed  # random labels follow from it
    batch_size = target.batch_size if batch_size is None else batch_size
    check_count('batch_size', batch_size)
    check_latents(latents, (num_images, *model.image_shape))
    return SampleRequest(
        num_images,
        sampler,
        int(batch_size),
        seed,
        clip,
        resolve_classes(labels, num_images, model.num_classes, target.class_names),
        model.num_classes,
        target.class_names,
        latents,
        None if noise is None else noise.rows,
    )


def resolve_classes(labels: Any, num_images: int, num_classes: int | None, names: Names) -> list[int] | str | None:
    """Return what `labels` means: class numbers, a rule ('random' for None), or None for an unconditional model."""
    if num_classes is None:
        if labels is not None:
            raise InputError('labels were given, but the model is unconditional. Leave them out.')
        return None
    classes = class_numbers('random' if labels is None else labels, num_classes, names)
    if not isinstance(classes, str) and len(classes) > num_images:
        raise InputError(f'{len(classes)} labels are too many for {num_images} images.')
    return classes


def check_latents(latents: Any, shape: tuple[int, ...]) -> None:
    """Raise an InputError unless `latents` is None, or a finite tensor of `shape`."""
    if latents is None:
        return
    if not isinstance(latents, Tensor):
        raise InputError(f'latents have to be a tensor, got {type(latents).__name__}: torch.as_tensor makes one.')
    if tuple(latents.shape) != shape:
        raise InputError(f'latents have to be of shape {shape}, got {tuple(latents.shape)}.')
    check_given('latents', latents)


def names_of(labels: Sequence[int] | None, class_names: Names) -> list[str] | None:
    """Return the usual name of each class of `labels`, its number where classes have no names; None for None."""
    if labels is None:
        return None
    return [class_names[label][0] if class_names else str(label) for label in labels]
