"""Pictures larger than the model's: overlapping tiles, whose estimates are averaged in each step.

That is MultiDiffusion (Bar-Tal et al., 2023, arXiv 2302.08113): all tiles are cut out of one noisy picture, and where
they overlap, the denoised picture is the weighted mean of theirs. So it is a denoiser for pictures of any size, with
which any sampler draws and any `EditingOperator` edits.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from mmcm.samplers import Denoise

OVERLAP = 0.5  # of two neighbours, at least, as a share of a tile's side


@dataclass(frozen=True)
class Tiles:
    """Squares that a picture is denoised in.

    Attributes:
        size (int): Height and width of a tile in pixels, those of the model's images.
        shape (tuple[int, int]): Height and width of the picture.
        corners (tuple[tuple[int, int], ...]): Top and left of each tile. Pixels that lie in none are not denoised: only
            an operator that knows them can edit such a picture.
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
    """Return how many tiles `whole_picture` makes, without making them."""
    return _count(height, size) * _count(width, size)


def whole_picture(height: int, width: int, size: int) -> Tiles:
    """Return the tiles of `size` pixels that cover a picture, evenly spaced, which overlap by `OVERLAP` or more."""
    return Tiles(
        size,
        (height, width),
        tuple((top, left) for top in starts(0, height, size, height) for left in starts(0, width, size, width)),
    )


def around(mask: np.ndarray, size: int) -> Tiles:
    """Return the tiles that cover what is to be drawn anew, with what lies around it.

    Args:
        mask (ndarray): (H, W), what is to be drawn anew is above 0; height and width are at least `size`.
        size (int): Height and width of a tile in pixels.
    """
    height, width = mask.shape
    # Parts that one tile can show together are one: each is dilated by half of what they may be apart.
    margin = size // 4
    kernel = np.ones((2 * (margin // 2) + 1,) * 2, np.uint8)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(cv2.dilate((mask > 0).astype(np.uint8), kernel))
    corners = {}
    for left, top, box_width, box_height, _ in boxes[1:].tolist():  # the first one is the ground
        for row in starts(top, top + box_height, size, height):
            for column in starts(left, left + box_width, size, width):
                if (mask[row : row + size, column : column + size] > 0).any():
                    corners[row, column] = None
    return Tiles(size, (height, width), tuple(corners))


def starts(first: int, last: int, size: int, length: int) -> list[int]:
    """Return where the tiles begin that cover the pixels `first` to `last` of `length`; one tile lies in the middle."""
    number = _count(last - first, size)
    if number == 1:
        return [min(max(0, (first + last - size) // 2), length - size)]
    return np.linspace(first, last - size, number).round().astype(int).tolist()


def _count(length: int, size: int) -> int:
    """Return how many tiles in a row cover `length` pixels."""
    return 1 if length <= size else math.ceil((length - size) / (size * (1 - OVERLAP))) + 1


def tiled(denoise: Callable[..., Tensor], tiles: Tiles, batch_size: int) -> Denoise:
    """Return the denoiser of pictures that are cut into `tiles`.

    Args:
        denoise (Callable): From noisy tiles (B, C, size, size), their noise levels (B,) and the index of the picture
            that each is from, (B,), to the denoised tiles.
        tiles (Tiles): The tiles.
        batch_size (int): Tiles per call of `denoise`, at most.

    Returns:
        Callable: From noisy pictures (N, C, H, W) and noise levels (N,) to denoised ones; 0 where there are no tiles.
    """
    size, window = tiles.size, tiles.window()
    total = torch.zeros(tiles.shape, dtype=torch.float32, device='cpu')
    for top, left in tiles.corners:
        total[top : top + size, left : left + size] += window
    total[total == 0] = 1

    def denoise_picture(x: Tensor, sigma: Tensor) -> Tensor:
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

    return denoise_picture
