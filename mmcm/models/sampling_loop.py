"""The loop of everything that samples: batches that fit the memory, progress, a clock, and uint8 pixels."""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mmcm.samplers.base import Callback
from mmcm.utils.batches import Batches
from mmcm.utils.progress import progress_bar


class Samples(NamedTuple):
    """Images of all batches, on the CPU.

    Attributes:
        pixels (Tensor): uint8, (N, C, H, W).
        seconds (float): How long the loop took.
        images (Tensor, optional): The same in [-1, 1], float, where they are kept.
        steps (Tensor, optional): The estimates after each step, uint8, (N, S, C, H, W), where they are kept.
    """

    pixels: Tensor
    seconds: float
    images: Tensor | None
    steps: Tensor | None


def sample_in_batches(
    sample: Callable[[slice, Callback], Tensor],
    num_samples: int,
    batch_size: int | Batches,
    to_pixels: Callable[[Tensor], Tensor],
    num_steps: int = 1,
    callback: Callback | None = None,
    progress: str = '',
    keep_images: bool = False,
    keep_steps: bool = False,
) -> Samples:
    """Sample batch by batch. On a GPU, a batch that does not fit the memory is halved.

    Args:
        sample (Callable): Returns the images of a batch in [-1, 1], (B, C, H, W), given the slice of its samples and
            the callback of its sampler.
        num_samples (int): Number of samples, N.
        batch_size (int | Batches): Samples per batch, at most.
        to_pixels (Callable): Converts images in [-1, 1] to uint8: `destruct` of the preprocessor of the model.
        num_steps (int): Steps of the sampler, for the progress bar.
        callback (Callable, optional): Called in each step of each batch; see `Sampler`.
        progress (str): Word in front of a progress bar on stderr, such as 'sampling'; no bar if empty.
        keep_images (bool): Whether to return the images before their conversion, too.
        keep_steps (bool): Whether to return the estimates of the clean images after each step, too.
    """
    batches = Batches.of(batch_size)
    num_batches = math.ceil(num_samples / batches.size)
    started = time.perf_counter()
    with progress_bar(progress, num_batches * num_steps, shown=bool(progress)) as advance:

        def batch(part: slice) -> tuple[Tensor, Tensor | None, Tensor | None]:
            estimates: list[Tensor] = []

            def on_step(step: int, sigma: float, x: Tensor, x0: Tensor) -> None:
                advance()
                if callback is not None:
                    callback(step, sigma, x, x0)
                if keep_steps:
                    estimates.append(to_pixels(x0).cpu())

            images = sample(part, on_step)
            steps = torch.stack(estimates, 1) if keep_steps else None
            return to_pixels(images).cpu(), images.cpu() if keep_images else None, steps

        pixels, images, steps = zip(*batches.run(batch, num_samples))
    seconds = time.perf_counter() - started
    return Samples(
        torch.cat(pixels), seconds, torch.cat(images) if keep_images else None, torch.cat(steps) if keep_steps else None
    )
