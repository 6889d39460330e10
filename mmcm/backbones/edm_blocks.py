"""Blocks of EDM's U-Nets (Karras et al., 2022, arXiv 2206.00364, Appendix C.2), for DDPM++, NCSN++ and ADM.

The names of parameters and buffers are those of the released networks.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcm.utils.errors import InputError
from mmcm.utils.fixed_precision import Float32Buffers

MAX_GROUPS = 32  # of a normalisation
GROUP_CHANNELS = 4  # of a group, at least
BOX = (1, 1)  # filter that averages neighbours


class ResampledConv2d(nn.Module):
    """A convolution behind a filter that halves (`down`) or doubles (`up`) the size.

    Args:
        channels (int): Channels of the input.
        out_channels (int): Channels of the output; those of the input without a convolution.
        kernel_size (int): Odd side of the kernel; 0 stands for no convolution.
        resample_filter (Sequence[int]): Taps of the separable filter, of even number, in any units.
        up (bool): Whether the size is doubled.
        down (bool): Whether it is halved.
        filter_last (bool): Whether the convolution, which then sees a wider margin, comes before a filter that halves.
    """

    resample_filter: Tensor

    def __init__(
        self,
        channels: int,
        out_channels: int,
        kernel_size: int,
        resample_filter: Sequence[int],
        up: bool = False,
        down: bool = False,
        filter_last: bool = False,
    ) -> None:
        super().__init__()
        assert up != down and kernel_size % 2 == (kernel_size > 0) and (down or not filter_last)
        self.up, self.filter_last = up, filter_last
        self.weight: Tensor | None = None
        self.bias: Tensor | None = None
        if kernel_size:
            conv = nn.Conv2d(channels, out_channels, kernel_size)  # for its initial values
            self.weight, self.bias = conv.weight, conv.bias
        taps = torch.tensor([*resample_filter], dtype=torch.float32, device=None)
        self.register_buffer('resample_filter', (taps.outer(taps) / taps.sum() ** 2)[None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` (N, C, H, W) at half or twice the size, with `out_channels` channels."""
        margin = (self.resample_filter.shape[-1] - 1) // 2
        if self.filter_last and self.weight is not None:
            x = self._convolved(x, margin)
            return self._filtered(x, 0)
        return self._convolved(self._filtered(x, margin))

    def _filtered(self, x: Tensor, padding: int) -> Tensor:
        channels = x.shape[1]
        kernel = self.resample_filter.to(x.dtype).expand(channels, -1, -1, -1)
        if self.up:  # of the four pixels in place of one, each gets a quarter of the filter's sum
            return F.conv_transpose2d(x, 4 * kernel, stride=2, padding=padding, groups=channels)
        return F.conv2d(x, kernel, stride=2, padding=padding, groups=channels)

    def _convolved(self, x: Tensor, margin: int = 0) -> Tensor:
        if self.weight is None:
            return x
        return F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2 + margin)


class UNetBlock(nn.Module):
    """A residual block that takes the noise level in, may change the size, and may end in self-attention.

    Args:
        channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        embed_channels (int): Size of the embedding.
        num_heads (int): Heads of the attention; 0 for none.
        dropout (float): Share of features dropped.
        scale_shift_norm (bool): Whether the embedding scales and shifts the normalised features, or is added before.
        skip_scale (float): Factor of each sum of a branch and its input: sqrt(1/2) keeps the variance of equal parts.
        norm_eps (float): What every normalisation adds to the variance.
        resample_filter (Sequence[int]): Taps of the filter of `up` and `down`.
        project_skip (bool): Whether a block that changes the size alone has a convolution beside it.
        up (bool): Whether the size is doubled.
        down (bool): Whether it is halved.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        embed_channels: int,
        num_heads: int = 0,
        dropout: float = 0.0,
        scale_shift_norm: bool = False,
        skip_scale: float = 1.0,
        norm_eps: float = 1e-5,
        resample_filter: Sequence[int] = BOX,
        project_skip: bool = False,
        up: bool = False,
        down: bool = False,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.scale_shift_norm = scale_shift_norm
        self.skip_scale = skip_scale
        self.norm0 = group_norm(channels, norm_eps)
        self.conv0: nn.Module
        if up or down:
            self.conv0 = ResampledConv2d(channels, out_channels, 3, resample_filter, up, down)
        else:
            self.conv0 = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.affine = nn.Linear(embed_channels, out_channels * (2 if scale_shift_norm else 1))
        self.norm1 = group_norm(out_channels, norm_eps)
        self.conv1 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.skip: nn.Module | None = None
        if up or down:
            kernel = int(project_skip or channels != out_channels)
            self.skip = ResampledConv2d(channels, out_channels, kernel, resample_filter, up, down)
        elif channels != out_channels:
            self.skip = nn.Conv2d(channels, out_channels, 1)
        if num_heads:
            self.norm2 = group_norm(out_channels, norm_eps)
            self.qkv = nn.Conv2d(out_channels, 3 * out_channels, 1)
            self.proj = nn.Conv2d(out_channels, out_channels, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Apply the block to `x` (N, C, H, W), with `embedding` (N, E)."""
        h = self.conv0(F.silu(self.norm0(x)))
        modulation = self.affine(embedding)[:, :, None, None]
        if self.scale_shift_norm:
            scale, shift = modulation.chunk(2, dim=1)
            h = F.silu(torch.addcmul(shift, self.norm1(h), 1 + scale))
        else:
            h = F.silu(self.norm1(h + modulation))
        h = self.conv1(F.dropout(h, self.dropout, self.training))
        h = (h + (x if self.skip is None else self.skip(x))) * self.skip_scale
        return (h + self._attention(h)) * self.skip_scale if self.num_heads else h

    def _attention(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        tokens = self.norm2(x).flatten(2).transpose(1, 2)  # (N, T, C): a view, if x is channels_last
        qkv = F.linear(tokens, self.qkv.weight.flatten(1), self.qkv.bias)
        # Unlike OpenAI's ADM: query, key and value of one channel are neighbours.
        q, k, v = qkv.view(batch, height * width, self.num_heads, -1, 3).permute(4, 0, 2, 1, 3)
        attended = F.scaled_dot_product_attention(q, k, v)  # (N, heads, T, d)
        tokens = F.linear(attended.transpose(1, 2).flatten(2), self.proj.weight.flatten(1), self.proj.bias)
        return tokens.transpose(1, 2).reshape(batch, channels, height, width)


def group_norm(channels: int, eps: float = 1e-5) -> nn.GroupNorm:
    """Return a group normalisation of at most 32 groups, each of at least 4 channels."""
    groups = min(MAX_GROUPS, channels // GROUP_CHANNELS)
    if channels % groups:
        raise InputError(
            f'{channels} channels cannot be shared out among the {groups} groups of a normalisation: choose a '
            f'base_channels that is a multiple of {MAX_GROUPS}.'
        )
    return nn.GroupNorm(groups, channels, eps)


class FourierEmbedding(Float32Buffers):
    """Cosines and sines at random frequencies, which are drawn once (Tancik et al., 2020, arXiv 2006.10739).

    Args:
        channels (int): Size of the embedding, an even number.
        scale (float): Standard deviation of the frequencies; 16 in NCSN++.
    """

    freqs: Tensor

    def __init__(self, channels: int, scale: float = 16.0) -> None:
        super().__init__()
        self.register_buffer('freqs', torch.randn(channels // 2, dtype=torch.float32, device=None) * scale)

    def forward(self, t: Tensor) -> Tensor:
        """Return cosines, then sines, of `t` (N,): (N, channels), float32."""
        angles = 2 * math.pi * t.float()[:, None] * self.freqs
        return torch.cat([angles.cos(), angles.sin()], dim=1)


def initialise(module: nn.Module, weights: Callable[[Tensor], object], gain: float = 1.0) -> None:
    """Fill the weight of a layer by `weights`, times `gain`, and its bias with zeros; a missing layer is let be."""
    weight, bias = (getattr(module, name, None) for name in ('weight', 'bias'))
    if isinstance(weight, Tensor):
        weights(weight)
        with torch.no_grad():
            weight.mul_(gain)
    if isinstance(bias, Tensor):
        nn.init.zeros_(bias)
