"""Overlapping tiles for images larger than the model's: MultiDiffusion (Bar-Tal et al., 2023, arXiv 2302.08113).

In each step, all tiles are cut out of one noisy image; where they overlap, the denoised image is the weighted mean of
the denoised tiles. The result is a denoiser for images of any size, for any sampler and any `EditingOperator`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from mmcm.samplers import Denoise

OVERLAP = 0.5  # least overlap of two neighbours, as a ratio of a tile's side


@dataclass(frozen=True)
class Tiles:
    """Squares in which an image is denoised.

    Attributes:
        size (int): Height and width of a tile in pixels, those of the model's images.
        shape (tuple[int, int]): Height and width of the image.
        corners (tuple[tuple[int, int], ...]): Top and left of each tile. Pixels outside of all tiles are not denoised:
            such an image needs an operator that knows these pixels.
    """

    size: int
    shape: tuple[int, int]
    corners: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.corners)

    def window(self) -> Tensor:
        """Return the weights of a tile's pixels, (size, size): highest in its middle, and falling to its edges."""
        ramp = torch.arange(1, self.size + 1, dtype=torch.float32, device='cpu')
        ramp = torch.minimum(ramp, ramp.flip(0))
        return torch.outer(ramp, ramp) / ramp.max() ** 2


def count_tiles(height: int, width: int, size: int) -> int:
    """Return the number of tiles of `whole_picture`, without making them."""
    return _count(height, size) * _count(width, size)


def whole_picture(height: int, width: int, size: int) -> Tiles:
    """Return evenly spaced tiles of `size` pixels that cover an image and overlap by `OVERLAP` or more."""
    return Tiles(
        size,
        (height, width),
        tuple((top, left) for top in starts(0, height, size, height) for left in starts(0, width, size, width)),
    )


def around(mask: np.ndarray, size: int) -> Tiles:
    """Return the tiles that cover a mask and what lies around it.

    Args:
        mask (ndarray): (H, W), above 0 where the image is edited; height and width are at least `size`.
        size (int): Height and width of a tile in pixels.
    """
    height, width = mask.shape
    # Parts that fit in one tile count as one: each is dilated by half of their largest distance.
    margin = size // 4
    kernel = np.ones((2 * (margin // 2) + 1,) * 2, np.uint8)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(cv2.dilate((mask > 0).astype(np.uint8), kernel))
    corners: dict[tuple[int, int], None] = {}
    for left, top, box_width, box_height, _ in boxes[1:].tolist():  # the first one is the background
        for row in starts(top, top + box_height, size, height):
            for column in starts(left, left + box_width, size, width):
                if (mask[row : row + size, column : column + size] > 0).any():
                    corners[row, column] = None
    return Tiles(size, (height, width), tuple(corners))


def starts(first: int, last: int, size: int, length: int) -> list[int]:
    """Return the starts of the tiles that cover the pixels `first` to `last` of `length`; a single tile is centred."""
    number = _count(last - first, size)
    if number == 1:
        return [min(max(0, (first + last - size) // 2), length - size)]
    return np.linspace(first, last - size, number).round().astype(int).tolist()


def _count(length: int, size: int) -> int:
    """Return the number of tiles in a row that cover `length` pixels."""
    return 1 if length <= size else math.ceil((length - size) / (size * (1 - OVERLAP))) + 1


def tiled(denoise: Callable[[Tensor, Tensor, Tensor], Tensor], tiles: Tiles, batch_size: int) -> Denoise:
    """Return a denoiser of whole images from a denoiser of tiles.

    Args:
        denoise (Callable): From noisy tiles (B, C, size, size), their noise levels (B,) and the index of the image of
            each tile, (B,), to the denoised tiles.
        tiles (Tiles): The tiles.
        batch_size (int): Tiles per call of `denoise`, at most.

    Returns:
        Callable: From noisy images (N, C, H, W) and noise levels (N,) to denoised ones; 0 where there are no tiles.
    """
    size, window = tiles.size, tiles.window()
    total = torch.zeros(tiles.shape, dtype=torch.float32, device='cpu')
    for top, left in tiles.corners:
        total[top : top + size, left : left + size] += window
    total[total == 0] = 1

    def denoise_image(x: Tensor, sigma: Tensor) -> Tensor:
        sigma = torch.as_tensor(sigma, device=x.device).expand(len(x))
        weights, blended = window.to(x.device), torch.zeros_like(x)
        jobs: Sequence[tuple[int, int, int]] = [(index, *corner) for index in range(len(x)) for corner in tiles.corners]
        for start in range(0, len(jobs), batch_size):
            part = jobs[start : start + batch_size]
            rows = torch.tensor([index for index, _, _ in part], dtype=torch.int64, device=x.device)
            cut = torch.stack([x[index, :, top : top + size, left : left + size] for index, top, left in part])
            for (index, top, left), estimate in zip(part, denoise(cut, sigma[rows], rows)):
                blended[index, :, top : top + size, left : left + size] += weights * estimate
        return blended / total.to(x.device)

    return denoise_image
