"""Images between two images of a model: between their noises, and between their labels."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.apis.request import SampleRequest
from mmcm.apis.sampling_result import SamplingResult
from mmcm.noise.generators import SampleNoise, sample_seeds
from mmcm.samplers import Callback, Sampler
from mmcm.utils.checks import as_list, check_count
from mmcm.utils.errors import InputError


def interpolate(
    inferencer: ConsistencyModelInferencer,
    seeds: Sequence[int] = (0, 1),
    labels: Any = None,
    num_images: int = 9,
    sampler: Sampler | None = None,
    callback: Callback | None = None,
) -> SamplingResult:
    """Sample `num_images` images on the way from one to another (Song et al., 2023, Appendix D).

    Their noises lie on the arc between the two, so that each is as long as noise is; the embeddings of their labels lie
    on the line between the two. A sampler of several steps adds the same noise to all of them.

    Args:
        inferencer (ConsistencyModelInferencer): The model.
        seeds (Sequence[int]): Of the first and of the last image; the first is what the model samples from that seed.
        labels (Sequence[int | str] | int | str, optional): Classes of the first and of the last one, or one for all;
            for class-conditional models, whose default is a random one by the first seed.
        num_images (int): Number of images, both ends counted; at least 2.
        sampler (Sampler, optional): Other than the model's own.
        callback (Callable, optional): Called in the steps of each batch; see `Sampler`.

    Returns:
        SamplingResult: Its `labels` and `seeds` are None, since the images in between have none.

    Raises:
        InputError: If the arguments do not fit the model; then nothing has been loaded or sampled.
    """
    request = interpolation_request(inferencer, seeds, labels, num_images, sampler)
    return inferencer.sample(request, 'pil', callback)


def interpolation_request(
    inferencer: ConsistencyModelInferencer,
    seeds: Sequence[int],
    labels: Any,
    num_images: int,
    sampler: Sampler | None = None,
) -> SampleRequest:
    """Return the request for the images that `interpolate` samples, or raise the same errors."""
    check_count('num_images', num_images, least=2)
    seeds = as_list('seeds', seeds)
    if len(seeds) != 2:
        raise InputError(f'two seeds are needed, of the first and of the last image, got {seeds}.')
    first, last = sample_seeds(2, seeds)
    ends = inferencer.request(2, labels, first, sampler=sampler)
    model = inferencer.model
    shares = torch.linspace(0, 1, num_images, dtype=torch.float32, device='cpu')
    start, end = (SampleNoise([seed]).randn(1, *model.latent_shape, device='cpu') for seed in (first, last))
    mixed = None
    if ends.labels is not None and model.num_classes is not None:
        classes = torch.tensor(ends.labels[:1] * 2 if labels is None else ends.labels, dtype=torch.int64, device='cpu')
        one_hot = torch.nn.functional.one_hot(classes, model.num_classes).float()
        mixed = torch.lerp(one_hot[:1], one_hot[1:], shares[:, None])

    def noise_after_latents(part: slice) -> SampleNoise:
        noise = SampleNoise([first] * (part.stop - part.start))
        noise.randn(part.stop - part.start, *model.latent_shape)  # the latents
        return noise

    return SampleRequest(
        int(num_images),
        ends.sampler,
        ends.batch_size,
        latents=slerp(start, end, shares),
        noise=noise_after_latents,
        label_shares=mixed,
    )


def slerp(start: Tensor, end: Tensor, shares: Tensor) -> Tensor:
    """Return the points on the arc from `start` to `end`, both (1, ...), at `shares` (N,) of its length: (N, ...).

    Where the two point the same way, the arc is the line between them. sin((1 - s) a) / sin(a) start + sin(s a) /
    sin(a) end, a being the angle between them (Shoemake, 1985).
    """
    cosine = torch.nn.functional.cosine_similarity(start.double().flatten(1), end.double().flatten(1)).clamp(-1, 1)
    angle = cosine.arccos()
    shares = shares.double().view(-1, *[1] * (start.ndim - 1))
    if angle < 1e-4:
        return torch.lerp(start.double(), end.double(), shares).to(start)
    return (((1 - shares) * angle).sin() / angle.sin() * start + (shares * angle).sin() / angle.sin() * end).to(start)
