"""Magnitude-preserving layers of EDM2 (Karras et al., 2024, arXiv 2312.02696, Appendix B).

Each keeps the expected magnitude of its inputs: of unit variance, they have outputs of unit variance.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcm.utils.fixed_precision import Float32Buffers

EPSILON = 1e-4  # keeps the gradient of a vector of zeros finite
SILU_MAGNITUDE = 0.596  # sqrt(E[silu(x)^2]) for x ~ N(0, 1)


def magnitude(x: Tensor, dims: Sequence[int] | None = None) -> Tensor:
    """Return 1e-4 + |x| / sqrt(n) of vectors of n values, their root mean square, at least in float32.

    Args:
        x (Tensor): Vectors, of any shape.
        dims (Sequence[int], optional): The dimensions that a vector extends over, which the result has with a size of
            1; all but the first if None.
    """
    dims = list(range(1, x.ndim)) if dims is None else list(dims)
    size = torch.linalg.vector_norm(x, dim=dims, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
    return EPSILON + size / math.sqrt(math.prod([x.shape[dim] for dim in dims]))


def normalize(x: Tensor, dims: Sequence[int] | None = None) -> Tensor:
    """Return vectors with a root mean square of 1 (Eq. 30); see `magnitude`."""
    return x / magnitude(x, dims).to(x.dtype)


def mp_silu(x: Tensor) -> Tensor:
    """Return silu(x) / 0.596 (Eq. 81)."""
    return F.silu(x) / SILU_MAGNITUDE


def mp_sum(a: Tensor, b: Tensor, t: float = 0.5) -> Tensor:
    """Return ((1 - t) a + t b) / sqrt((1 - t)^2 + t^2) (Eq. 88)."""
    return a.lerp(b, t) / math.sqrt((1 - t) ** 2 + t**2)


def mp_cat(a: Tensor, b: Tensor, t: float = 0.5) -> Tensor:
    """Concatenate `a` (N, A, ...) and `b` (N, B, ...) along the channels, to which they contribute 1 - t : t (Eq. 103).

    Each is scaled to a share of the magnitude that does not depend on its number of channels.
    """
    num_a, num_b = a.shape[1], b.shape[1]
    scale = math.sqrt((num_a + num_b) / ((1 - t) ** 2 + t**2))
    return torch.cat([a * (scale / math.sqrt(num_a) * (1 - t)), b * (scale / math.sqrt(num_b) * t)], dim=1)


def downsample(x: Tensor) -> Tensor:
    """Halve the size of `x` (N, C, H, W): each pixel is the mean of four."""
    return F.conv2d(x, _box(x), stride=2, groups=x.shape[1])


def upsample(x: Tensor) -> Tensor:
    """Double the size of `x` (N, C, H, W): each pixel becomes four."""
    return F.conv_transpose2d(x, 4 * _box(x), stride=2, groups=x.shape[1])


def _box(x: Tensor) -> Tensor:
    """Return the filter of a mean of four pixels for each channel of `x`: (C, 1, 2, 2)."""
    # Filled on the device of `x`: a tensor of Python numbers would be copied there in each pass.
    return x.new_full((), 1 / 4).expand(x.shape[1], 1, 2, 2)


class MPFourier(Float32Buffers):
    """sqrt(2) cos(x f + p) with random frequencies f and phases p, which are not trained (Eq. 75).

    Args:
        num_channels (int): Number of features.
        bandwidth (float): Standard deviation of f / 2 pi.
    """

    freqs: Tensor
    phases: Tensor

    def __init__(self, num_channels: int, bandwidth: float = 1.0) -> None:
        super().__init__()
        self.register_buffer(
            'freqs', 2 * math.pi * bandwidth * torch.randn(num_channels, dtype=torch.float32, device=None)
        )
        self.register_buffer('phases', 2 * math.pi * torch.rand(num_channels, dtype=torch.float32, device=None))

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of `x` (N,): (N, `num_channels`), in float32."""
        # In float32 whatever the network's precision: frequencies of half precision would be wrong by periods.
        angles = x.float()[:, None] * self.freqs + self.phases
        return math.sqrt(2) * angles.cos()


class MPConv(nn.Module):
    """A convolution, or a linear map, without bias, whose filters are normalised when they are applied (Algorithm 1).

    Normalisation in each pass makes the gradient orthogonal to the weights. Training also has to write the normalised
    weights back before each step (`normalize_weights`: forced weight normalisation), since they would grow without
    bound, and the effective learning rate fall.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        kernel (int, optional): Side of the filters; None makes a linear map of vectors.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int | None = None) -> None:
        super().__init__()
        self.out_channels = out_channels
        sides = () if kernel is None else (kernel, kernel)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, *sides, dtype=torch.float32, device=None))
        self.kept: dict[torch.dtype, Tensor] | None = None  # see `normalized_once`

    def forward(self, x: Tensor, gain: Tensor | float = 1.0) -> Tensor:
        """Apply the layer to `x`, (N, C, H, W) or (N, C), and multiply by `gain`, which belongs to the layer."""
        # A compiler would make a program for layers that keep filters, and another for those that have them.
        kept = None if torch.is_grad_enabled() or torch.compiler.is_compiling() else self.kept
        weight = None if kept is None else kept.get(x.dtype)
        if weight is None:
            weight = self.full_weight()
            weight = (weight * (gain / (math.sqrt(weight[0].numel()) * magnitude(weight)))).to(x.dtype)
            if kept is not None:
                kept[x.dtype] = weight
        if weight.ndim == 2:
            return F.linear(x, weight)
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)

    def full_weight(self) -> Tensor:
        """Return the filters at least in float32, since half precision would lose digits of their magnitude."""
        return self.weight.to(torch.promote_types(self.weight.dtype, torch.float32))


@contextmanager
def normalized_once(*networks: nn.Module) -> Iterator[None]:
    """Let each `MPConv` of `networks` keep the filters of its first pass without gradients until the block ends.

    The weights must not change in the block. It takes memory for a second set of them, in the precision of the inputs,
    and is for several passes: results are the same to the last bit.
    """
    layers = [layer for network in networks for layer in network.modules() if isinstance(layer, MPConv)]
    for layer in layers:
        layer.kept = {}
    try:
        yield
    finally:
        for layer in layers:
            layer.kept = None


@torch.no_grad()
def normalize_weights(modules: Iterable[nn.Module]) -> None:
    """Normalise the weights of each `MPConv` among `modules` in place, unless they are frozen; see there."""
    for module in modules:
        if isinstance(module, MPConv) and module.weight.requires_grad:
            module.weight.copy_(normalize(module.full_weight()))
