"""Overlapping tiles for images larger than the model's: MultiDiffusion (Bar-Tal et al., 2023, arXiv 2302.08113).

In each step, all tiles are cut out of one noisy image; where they overlap, the denoised image is the weighted mean of
the denoised tiles. The result is a denoiser for images of any size, for any sampler and any `EditingOperator`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmcm.renamed import moved_name
from mmcm.samplers import Denoise
from mmcm.utils.image_shape import height_and_width


@dataclass(frozen=True)
class Tiles:
    """Tiles in which an image is denoised.

    Attributes:
        size (int | tuple[int, int]): Size of a tile in pixels, that of the model's images: the side of a square, or
            (height, width).
        shape (tuple[int, int]): Height and width of the image.
        corners (tuple[tuple[int, int], ...]): Top and left of each tile. Pixels outside of all tiles are not denoised:
            such an image needs an operator that knows these pixels.
    """

    size: int | tuple[int, int]
    shape: tuple[int, int]
    corners: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.corners)

    def window(self) -> Tensor:
        """Return the weights of a tile's pixels, (H, W): highest in its middle, and falling to its edges."""
        ramps = [torch.arange(1, side + 1, dtype=torch.float32, device='cpu') for side in height_and_width(self.size)]
        down, across = (torch.minimum(ramp, ramp.flip(0)) for ramp in ramps)
        return torch.outer(down, across) / (down.max() * across.max())


def tiled(denoise: Callable[..., Tensor], tiles: Tiles, batch_size: int) -> Denoise:
    """Return a denoiser of whole images from a denoiser of tiles.

    Args:
        denoise (Callable): From noisy tiles (B, C, H_tile, W_tile), their noise levels (B,) and the index of the image
            of each tile, (B,), to the denoised tiles.
        tiles (Tiles): The tiles.
        batch_size (int): Tiles per call of `denoise`, at most.

    Returns:
        Callable: From noisy images (N, C, H, W) and noise levels (N,) to denoised ones; 0 where there are no tiles.
    """
    (high, wide), window = height_and_width(tiles.size), tiles.window()
    total = torch.zeros(tiles.shape, dtype=torch.float32, device='cpu')
    for top, left in tiles.corners:
        total[top : top + high, left : left + wide] += window
    total[total == 0] = 1

    def denoise_image(x: Tensor, sigma: Tensor, **levels: Tensor) -> Tensor:
        sigma = torch.as_tensor(sigma, device=x.device).expand(len(x))
        weights, blended = window.to(x.device), torch.zeros_like(x)
        jobs: Sequence[tuple[int, int, int]] = [(index, *corner) for index in range(len(x)) for corner in tiles.corners]
        for start in range(0, len(jobs), batch_size):
            part = jobs[start : start + batch_size]
            rows = torch.tensor([index for index, _, _ in part], dtype=torch.int64, device=x.device)
            cut = torch.stack([x[index, :, top : top + high, left : left + wide] for index, top, left in part])
            own_levels = {name: level[rows] for name, level in levels.items()}
            for (index, top, left), estimate in zip(part, denoise(cut, sigma[rows], rows, **own_levels)):
                blended[index, :, top : top + high, left : left + wide] += weights * estimate
        return blended / total.to(x.device)

    return denoise_image


def __getattr__(name: str) -> object:
    return moved_name(__name__, name)
