"""Affine transforms of images, each image by its own matrix, with little blur.

The pipeline is that of StyleGAN2-ADA (Karras et al., 2020, arXiv 2006.06676, Appendix B), which EDM uses: reflect at
the edges, interpolate to twice the resolution by an orthogonal wavelet's filter, resample there linearly, and filter
back. Without a transform, the two filters cancel.

Coordinates are in pixels, x to the right and y downwards, relative to the centre of the image.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

# Scaling filter of the symlet with 6 vanishing moments (Daubechies, 1992, Table 8.3): sum_n h_n h_(n + 2k) = delta_k.
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
CENTRE = 5  # the tap of the filter next to the position of a pixel
DELAY = sum(index * value for index, value in enumerate(SYM6)) / sum(SYM6) - CENTRE  # how far it is from there
REACH = 3  # pixels that the filter reaches to each side
Edges = tuple[int, int, int, int]


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """Return matrices (N, 3, 3) that scale by `x` (N,) horizontally and by `y` (N,) vertically."""
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrices(((x, zero, zero), (zero, y, zero), (zero, zero, one)))


def rotation(angle: Tensor) -> Tensor:
    """Return matrices (N, 3, 3) that rotate the x axis towards the y axis by `angle` (N,) in radians."""
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    cos, sin = angle.cos(), angle.sin()
    return _matrices(((cos, -sin, zero), (sin, cos, zero), (zero, zero, one)))


def translation(x: Tensor, y: Tensor) -> Tensor:
    """Return matrices (N, 3, 3) that move by `x` and `y` (N,) pixels."""
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrices(((one, zero, x), (zero, one, y), (zero, zero, one)))


def transform(images: Tensor, inverse: Tensor, edges: Edges | None = None) -> Tensor:
    """Return images whose value at the position p is that of `images` at `inverse` p.

    Args:
        images (Tensor): (N, C, H, W), floating point, reflected at their edges; zero beyond the reflection.
        inverse (Tensor): Matrices, (N, 3, 3), from positions in the result to positions in `images`.
        edges (tuple, optional): Pixels to reflect at the left, top, right and bottom edges; by default `margins`.

    Returns:
        Tensor: (N, C, H, W).
    """
    height, width = images.shape[2:]
    centre = images.new_tensor([(width - 1) / 2, (height - 1) / 2])
    left, top, right, bottom = edges or margins(inverse, height, width)
    padded = F.pad(images, (left, right, top, bottom), mode='reflect')
    fine = _fine(_fine(padded, 2), 3)
    # Positions in the result at twice the resolution, as far as the filter reaches: pixel j is at 2 j + DELAY.
    x, y = (
        (torch.arange(-CENTRE, 2 * size + CENTRE, dtype=images.dtype, device=images.device) - DELAY) / 2
        for size in (width, height)
    )
    points = torch.stack(
        [*torch.meshgrid(x - centre[0], y - centre[1], indexing='xy'), images.new_ones(len(y), len(x))], dim=-1
    )
    found = torch.einsum('nij,yxj->nyxi', inverse.to(images)[:, :2], points) + centre
    index = 2 * (found + images.new_tensor([left, top])) + DELAY
    last = images.new_tensor([fine.shape[3] - 1, fine.shape[2] - 1]).clamp(min=1)
    resampled = F.grid_sample(fine, 2 * index / last - 1, mode='bilinear', padding_mode='zeros', align_corners=True)
    return _coarse(_coarse(resampled, 2), 3)


def margins(inverse: Tensor, height: int, width: int) -> Edges:
    """Return how many pixels on the left, top, right and bottom edges the transforms look beyond the images.

    At most one pixel less than the image has, which is as far as a reflection goes.
    """
    half = inverse.new_tensor([(width - 1) / 2, (height - 1) / 2])
    signs = inverse.new_tensor([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    corners = torch.cat([signs * (half + REACH), torch.ones_like(signs[:, :1])], dim=1)
    found = torch.einsum('nij,kj->nki', inverse[:, :2], corners).flatten(0, 1)
    beyond = torch.cat([-found.amin(0), found.amax(0)]) + REACH - half.repeat(2)
    most = half.repeat(2) * 2
    left, top, right, bottom = torch.minimum(beyond.ceil().clamp(min=0), most).int().tolist()
    return left, top, right, bottom


def _matrices(rows: tuple[tuple[Tensor, ...], ...]) -> Tensor:
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def _fine(images: Tensor, axis: int) -> Tensor:
    """Return `images` at twice the resolution along an axis, 2 or 3: u_k = sum_i x_i h_(k - 2i + 5)."""
    channels = images.shape[1]
    sizes = [1, 1]
    sizes[axis - 2] = len(SYM6)
    kernel = images.new_tensor(SYM6).view(1, 1, *sizes).expand(channels, 1, *sizes)
    stride, padding = ([1, 1], [0, 0])
    stride[axis - 2], padding[axis - 2] = 2, CENTRE
    return F.conv_transpose2d(images, kernel, stride=stride, padding=padding, groups=channels)


def _coarse(images: Tensor, axis: int) -> Tensor:
    """Return `images` at half the resolution along an axis, 2 or 3: y_j = sum_k u_k h_(k - 2j + 5)."""
    channels = images.shape[1]
    sizes = [1, 1]
    sizes[axis - 2] = len(SYM6)
    kernel = images.new_tensor(SYM6).view(1, 1, *sizes).expand(channels, 1, *sizes)
    stride = [1, 1]
    stride[axis - 2] = 2
    return F.conv2d(images, kernel, stride=stride, groups=channels)
