"""Layers of transformers: attention with rotary positions, a gated MLP, and embeddings of numbers and labels.

The names of the modules are those of the released weights of pMF and iMF.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcm.backbones.adm_unet import sinusoidal_embedding
from mmcm.backbones.rotary import rotate
from mmcm.utils.precision import without_autocast

FREQUENCIES = 256  # features of a number before its embedding
EPS = 1e-6  # what RMS normalisation adds to the mean square


class Linear(nn.Module):
    """A linear layer under the name `_flax_linear`, its weights of deviation `gain` / sqrt(in_features)."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True, gain: float = 1.0) -> None:
        super().__init__()
        self._flax_linear = nn.Linear(in_features, out_features, bias)
        nn.init.normal_(self._flax_linear.weight, std=gain / math.sqrt(in_features))
        if bias:
            nn.init.zeros_(self._flax_linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to `x` (..., in_features)."""
        return self._flax_linear(x)


class NumberEmbedding(nn.Module):
    """An embedding of a number: cosines and sines at 256 / 2 frequencies, and two linear layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(Linear(FREQUENCIES, channels), nn.SiLU(), Linear(channels, channels))

    def forward(self, values: Tensor) -> Tensor:
        """Embed `values` (N,): (N, channels), in the dtype of the weights, whatever that of autocast is."""
        first: Any = self.mlp[0]
        with without_autocast(values.device):  # as in ADMUNet: rounding hides small steps
            return self.mlp(sinusoidal_embedding(values, FREQUENCIES).to(first._flax_linear.weight.dtype))


class LabelEmbedding(nn.Module):
    """An embedding of labels; the last row is the null class."""

    def __init__(self, num_classes: int, channels: int) -> None:
        super().__init__()
        self.embedding_table = nn.Module()
        self.embedding_table._flax_embedding = nn.Embedding(num_classes + 1, channels)
        nn.init.normal_(self.embedding_table._flax_embedding.weight, std=1 / math.sqrt(channels))

    def forward(self, labels: Tensor) -> Tensor:
        """Embed labels (N,), integers, or shares of the classes (N, K), floating point: (N, channels)."""
        table: nn.Embedding = self.embedding_table._flax_embedding  # type: ignore[assignment]
        if labels.is_floating_point():
            return labels.to(table.weight.dtype) @ table.weight[:-1]
        return table(labels)


class Attention(nn.Module):
    """Multi-head attention with normalised queries and keys, rotated by their positions."""

    def __init__(self, channels: int, num_heads: int, gain: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = Linear(channels, channels, bias=False, gain=gain)
        self.k_proj = Linear(channels, channels, bias=False, gain=gain)
        self.v_proj = Linear(channels, channels, bias=False, gain=gain)
        self.out_proj = Linear(channels, channels, bias=False, gain=gain)
        self.q_norm = nn.RMSNorm(channels // num_heads, eps=EPS)
        self.k_norm = nn.RMSNorm(channels // num_heads, eps=EPS)

    def forward(self, x: Tensor, angles: Tensor) -> Tensor:
        """Apply attention to tokens `x` (N, T, C) whose positions turn pairs of channels by `angles` (T, d / 2)."""
        q, k, v = (
            projection(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (N, heads, T, d)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotate(self.q_norm(q), angles), rotate(self.k_norm(k), angles)
        attended = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(attended.transpose(1, 2).flatten(2))


class GatedMLP(nn.Module):
    """w2(silu(w1 x) w3 x), SwiGLU (Shazeer, 2020, arXiv 2002.05202)."""

    def __init__(self, channels: int, hidden: int, gain: float) -> None:
        super().__init__()
        self.w1 = Linear(channels, hidden, bias=False, gain=gain)
        self.w3 = Linear(channels, hidden, bias=False, gain=gain)
        self.w2 = Linear(hidden, channels, bias=False, gain=gain)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the MLP to each token of `x` (N, T, C)."""
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class TransformerBlock(nn.Module):
    """x + a attention(norm x), then x + m MLP(norm x), with gates a and m (C,) that are zero to begin with."""

    def __init__(self, channels: int, num_heads: int, hidden: int, gain: float) -> None:
        super().__init__()
        self.attn_scale = normal_parameter(channels, std=0.0)
        self.mlp_scale = normal_parameter(channels, std=0.0)
        self.norm1 = nn.RMSNorm(channels, eps=EPS)
        self.attn = Attention(channels, num_heads, gain)
        self.norm2 = nn.RMSNorm(channels, eps=EPS)
        self.mlp = GatedMLP(channels, hidden, gain)

    def forward(self, x: Tensor, angles: Tensor) -> Tensor:
        """Apply the block to tokens `x` (N, T, C); see `Attention` for `angles`."""
        x = x + self.attn(self.norm1(x), angles) * self.attn_scale
        return x + self.mlp(self.norm2(x)) * self.mlp_scale


class FinalLayer(nn.Module):
    """A normalisation and a linear layer that is zero to begin with."""

    def __init__(self, channels: int, out_features: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(channels, eps=EPS)
        self.linear = Linear(channels, out_features, gain=0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens `x` (N, T, C) to (N, T, out_features)."""
        return self.linear(self.norm(x))


def normal_parameter(*shape: int, std: float) -> nn.Parameter:
    """Return a parameter from N(0, std^2), of the dtype and on the device that the rest of the network is made with."""
    return nn.Parameter(nn.init.normal_(torch.empty(shape, dtype=None, device=None), std=std))
