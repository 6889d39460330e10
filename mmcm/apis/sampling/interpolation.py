"""Pictures between two pictures of a model: between their noises, and between their labels."""

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.apis.sampling_result import Drawing
from mmcm.noise.generators import SampleNoise
from mmcm.samplers import Callback, Sampler
from mmcm.utils.checks import as_list, check_count
from mmcm.utils.errors import InputError
from mmcm.utils.images import to_pil


def interpolate(
    inferencer: ConsistencyModelInferencer,
    seeds: Sequence[int] = (0, 1),
    labels: Any = None,
    num_images: int = 9,
    sampler: Sampler | None = None,
    callback: Callback | None = None,
) -> Drawing:
    """Draw `num_images` pictures on the way from one to another (Song et al., 2023, Appendix D).

    Their noises lie on the arc between the two, so that each is as long as noise is; the embeddings of their labels lie
    on the line between the two. A sampler of several steps adds the same noise to all of them.

    Args:
        inferencer (ConsistencyModelInferencer): The model.
        seeds (Sequence[int]): Of the first and of the last picture; the first is what the model draws from that seed.
        labels (Sequence[int | str] | int | str, optional): Classes of the first and of the last one, or one for all;
            for class-conditional models, whose default is a random one by the first seed.
        num_images (int): How many, both ends counted; at least 2.
        sampler (Sampler, optional): Other than the model's own.
        callback (Callable, optional): Called in the steps of each batch; see `Sampler`.

    Returns:
        Drawing: Its `labels` and `seeds` are None, since the pictures in between have none.

    Raises:
        InputError: If the arguments do not fit the model; then nothing has been loaded or drawn.
    """
    (first, last), ends = check_ends(inferencer, seeds, labels, num_images)
    model = inferencer.load().model
    sampler = sampler or inferencer.sampler
    shares = torch.linspace(0, 1, num_images, dtype=torch.float32, device='cpu')
    start, end = (SampleNoise([seed]).randn(1, *model.image_shape, device='cpu') for seed in (first, last))
    latents = slerp(start, end, shares)
    mixed = None
    if ends is not None:
        ends = torch.tensor(ends, dtype=torch.int64, device='cpu')
        one_hot = torch.nn.functional.one_hot(ends, model.num_classes).float()
        mixed = torch.lerp(one_hot[:1], one_hot[1:], shares[:, None]).to(inferencer.device)

    def noise_of(part: slice) -> SampleNoise:
        noise = SampleNoise([first] * (part.stop - part.start))
        noise.randn(part.stop - part.start, *model.image_shape, device=inferencer.device)  # the latents
        return noise

    started = time.perf_counter()
    batches = model.batches(
        num_images, mixed, noise_of, inferencer.batch_size, latents, sampler=sampler, callback=callback
    )
    pixels = torch.cat([model.data_preprocessor.destruct(batch).cpu() for batch in batches])
    return Drawing(
        [to_pil(image) for image in pixels], pixels, None, None, time.perf_counter() - started, sampler.num_calls
    )


def check_ends(
    inferencer: ConsistencyModelInferencer, seeds: Sequence[int], labels: Any, num_images: int
) -> tuple[list[int], list[int] | None]:
    """Return the seeds and the classes of the first and of the last picture; an InputError as `interpolate` has it."""
    check_count('num_images', num_images, least=2)
    seeds = as_list('seeds', seeds)
    if len(seeds) != 2:
        raise InputError(f'two seeds are needed, of the first and of the last picture, got {seeds}.')
    seeds = list(inferencer.choose_seeds(seeds, 2))
    ends = inferencer.choose_labels(labels, 2, seeds[0])
    return seeds, [ends[0]] * 2 if ends is not None and labels is None else ends


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
