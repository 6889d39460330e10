"""Deblurring: the coordinates that a blur by a known kernel has left are known."""

import math
from collections.abc import Sequence
from copy import copy

import torch
from torch import Tensor

from mmcm.operators.base import EditingOperator
from mmcm.registry import OPERATORS
from mmcm.utils.checks import as_list, check_number
from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import Size, height_and_width

SMALLEST_GAIN = 0.1  # an error of half a grey level is then at most five when the blur is undone


@OPERATORS.register_module()
class Deblurring(EditingOperator):
    """What a blur y = B x B^T has left of an image x is known, rows and columns being blurred alike.

    With the singular value decomposition B = U S V^T, the change of basis is x -> V^T x V, and the blur multiplies the
    coordinate (i, j) by the gain s_i s_j. A coordinate is known if its gain is large enough to divide by. Where height
    and width differ, columns and rows have a matrix B each.

    Args:
        kernel (Sequence[float]): Weights of the blur along a row, an odd number of them, the middle one being the
            pixel's own; they are divided by their sum. The image is mirrored at its edges.
        size (int | Sequence[int]): Size of the images in pixels: the side of squares, or (height, width).
        smallest_gain (float): Least gain of a known coordinate, in (0, 1]. Rounding errors of the blurred image are
            multiplied by up to its inverse.

    Raises:
        InputError: If the kernel is no blur for images of that size.
    """

    def __init__(self, kernel: Sequence[float], size: Size, smallest_gain: float = SMALLEST_GAIN) -> None:
        if not 0 < smallest_gain <= 1:
            raise InputError(f'smallest_gain has to lie in (0, 1], got {smallest_gain}.')
        sides = height_and_width(size)
        blurs = {side: blur_matrix(kernel, side) for side in sides}
        decomposed = {side: torch.linalg.svd(blur) for side, blur in blurs.items()}  # blur = left diag(gains) right
        self.blurs = tuple(blurs[side] for side in sides)  # of columns, and of rows
        self.lefts, gains, self.rights = zip(*(decomposed[side] for side in sides))
        self.gains = torch.outer(*gains)
        self.known = (self.gains >= smallest_gain).double()

    def blurred(self, image: Tensor) -> Tensor:
        """Return `image` (N, C, H, W) blurred: B x B^T."""
        self._check(image)
        down, across = self.blurs
        return (down @ image.to(down) @ across.T).to(image)

    def sharpened(self, blurred: Tensor) -> Tensor:
        """Return the known part of the image before the blur, (N, C, H, W); unknown coordinates are zero."""
        self._check(blurred)
        left_down, left_across = self.lefts
        coordinates = left_down.T @ blurred.to(left_down) @ left_across
        coordinates = torch.where(self.known > 0, coordinates / self.gains, 0.0)  # some blurs have gains of zero
        right_down, right_across = self.rights
        return (right_down.T @ coordinates @ right_across).to(blurred)

    def degrade(self, image: Tensor) -> Tensor:
        """Return P x: the coordinates of a sharp image that a blur leaves."""
        self._check(image)
        return self._project(image)

    def keep(self, known: Tensor, estimate: Tensor) -> Tensor:
        """Return estimate + P (known - estimate)."""
        return estimate + self._project(known - estimate)

    def to(self, device: torch.device | str) -> 'Deblurring':
        """Return the operator with its basis on `device`, in the single precision of sampling."""
        moved = copy(self)
        moved.rights = tuple(right.to(device, torch.float32) for right in self.rights)
        moved.known = self.known.to(device, torch.float32)
        return moved

    def _project(self, image: Tensor) -> Tensor:
        (down, across), known = (right.to(image) for right in self.rights), self.known.to(image)
        return down.T @ (known * (down @ image @ across.T)) @ across

    def _check(self, image: Tensor) -> None:
        height, width = map(len, self.blurs)
        if image.shape[-2:] != (height, width):
            raise InputError(
                f'the blur is of images of {height} x {width} pixels, these have '
                f'{image.shape[-2]} x {image.shape[-1]}: set size to that of the model.'
            )


def blur_matrix(kernel: Sequence[float], size: int) -> Tensor:
    """Return B (size, size), float64, which blurs the columns of an image; see `Deblurring`."""
    given = as_list('kernel', kernel)
    for weight in given:
        check_number('each weight of a kernel', weight)
    weights = torch.tensor(given, dtype=torch.float64, device='cpu')
    if len(weights) % 2 == 0 or len(weights) > 2 * size - 1 or not weights.isfinite().all():
        raise InputError(
            f'a kernel has an odd number of weights, at most {2 * size - 1} for this size, all of them '
            f'finite, got {given}.'
        )
    if not 0 < weights.sum() < math.inf:
        raise InputError(f'the weights of a blur have a positive sum, got {given}.')
    blur = torch.zeros(size, size, dtype=torch.float64, device='cpu')
    rows = torch.arange(size, device='cpu')
    for offset, weight in enumerate(weights / weights.sum(), start=-(len(weights) // 2)):
        columns = rows + offset
        columns = torch.where(columns < 0, -1 - columns, columns)  # mirrored, the pixel at the edge being repeated
        columns = torch.where(columns >= size, 2 * size - 1 - columns, columns)
        blur[rows, columns] += weight
    return blur
