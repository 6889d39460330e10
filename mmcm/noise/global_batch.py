"""Noise of training: sampled for the batch of all processes, of which each keeps its rows."""

from collections.abc import Callable, Iterator

import torch
from mmengine.dist import get_rank, get_world_size
from torch import Tensor

PART = 256  # images of the global batch whose noise is in memory at once, whatever the number of processes


def draw_for_batch(draw_levels: Callable[[int], Tensor], x0: Tensor) -> tuple[Tensor, Tensor]:
    """Sample noise levels and standard normal noise for a batch of images.

    MMEngine's samplers deal the images of a global batch to the processes in turn, and so does this function with the
    random numbers, given generators in the same state everywhere (`StepSeedHook`): any number of processes sees the
    same images with the same noise. Afterwards the generators go separate ways, so that dropout differs.

    Args:
        draw_levels (Callable): From a number of images to their levels, (num, ...).
        x0 (Tensor): The images of this process, (N, C, H, W).

    Returns:
        tuple[Tensor, Tensor]: Levels, (N, ...), on the device that `draw_levels` has them on, and noise like `x0`.
    """
    rank, world_size = get_rank(), get_world_size()
    if world_size == 1 and len(x0) <= PART:
        return draw_levels(len(x0)), torch.randn_like(x0)
    levels = draw_levels(len(x0) * world_size)[rank::world_size]
    noise = noise_for_batch(x0)
    if world_size > 1:
        seeds = torch.randint(2**62, (world_size,), device='cpu')
        torch.manual_seed(int(seeds[rank]))
    return levels, noise


def noise_for_batch(x0: Tensor) -> Tensor:
    """Return standard normal noise like the images `x0` (N, C, H, W) of this process.

    It is dealt as by `draw_for_batch`, before which it has to be called: the generators stay in the same state.
    """
    rank, world_size = get_rank(), get_world_size()
    parts = noise_in_parts(len(x0) * world_size, x0)
    return torch.cat([part[(rank - start) % world_size :: world_size].clone() for start, part in parts])


def noise_in_parts(num_images: int, x0: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield noise like `x0` for `num_images` in parts: the index of the first image, and the noise of the part."""
    for start in range(0, num_images, PART):
        num = min(PART, num_images - start)
        yield start, torch.randn(num, *x0.shape[1:], dtype=x0.dtype, device=x0.device)
