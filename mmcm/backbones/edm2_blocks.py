"""Residual block of EDM2's U-Net (Karras et al., 2024, arXiv 2312.02696, Appendix B, configuration G).

Names of weights are the released ones. In `attn_qkv`, query, key and value of a channel are neighbours.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcm.backbones.magnitude_preserving import MPConv, mp_silu, mp_sum, normalize
from mmcm.utils.errors import InputError


class Block(nn.Module):
    """A residual block of the encoder or decoder, with attention or without.

    Args:
        channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        embed_channels (int): Width of the embedding.
        attention (bool): Whether attention follows.
        dropout (float): Share of features dropped in the residual branch.
        head_channels (int): Channels of an attention head.
        res_balance (float): t of `mp_sum` for the main path and the residual branch.
        attention_balance (float): t of `mp_sum` for the main path and attention.
        clip (float, optional): Bound of the absolute values of the output; None for none.
        encodes (bool): Whether it belongs to the encoder, whose main path is normalised.
        resample (Callable, optional): What changes the size of the input (N, C, H, W).
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        embed_channels: int,
        attention: bool,
        dropout: float,
        head_channels: int,
        res_balance: float,
        attention_balance: float,
        clip: float | None,
        encodes: bool = False,
        resample: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.encodes = encodes
        self.resample = resample
        self.dropout = dropout
        self.res_balance = res_balance
        self.attention_balance = attention_balance
        self.clip = clip
        # As released: a network whose levels are all narrower than a head has no attention.
        self.num_heads = out_channels // head_channels if attention else 0
        if self.num_heads and out_channels % head_channels:
            raise InputError(
                f'{out_channels} channels cannot be shared out among attention heads of {head_channels} channels: '
                'num_head_channels has to divide the width of each level with attention.'
            )
        self.emb_gain = nn.Parameter(torch.zeros([], dtype=torch.float32))
        self.conv_res0 = MPConv(out_channels if encodes else channels, out_channels, 3)
        self.emb_linear = MPConv(embed_channels, out_channels)
        self.conv_res1 = MPConv(out_channels, out_channels, 3)
        self.conv_skip = None if channels == out_channels else MPConv(channels, out_channels, 1)
        self.attn_qkv = MPConv(out_channels, 3 * out_channels, 1) if self.num_heads else None
        self.attn_proj = MPConv(out_channels, out_channels, 1) if self.num_heads else None

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Apply the block to `x` (N, C, H, W), with `embedding` (N, E)."""
        if self.resample is not None:
            x = self.resample(x)
        if self.encodes:
            if self.conv_skip is not None:
                x = self.conv_skip(x)
            x = normalize(x, dims=[1])  # pixel norm: the main path of the encoder keeps its magnitude
        h = self.conv_res0(mp_silu(x))
        h = mp_silu(h * (1 + self.emb_linear(embedding, gain=self.emb_gain))[:, :, None, None])
        h = self.conv_res1(F.dropout(h, self.dropout, self.training))
        if not self.encodes and self.conv_skip is not None:
            x = self.conv_skip(x)
        x = mp_sum(x, h, self.res_balance)
        if self.attn_qkv is not None and self.attn_proj is not None:
            x = mp_sum(x, self.attn_proj(self._attended(self.attn_qkv(x))), self.attention_balance)
        return x if self.clip is None else x.clamp(-self.clip, self.clip)

    def _attended(self, qkv: Tensor) -> Tensor:
        """Return the values (N, C, H, W) by cosine attention (Appendix B.3) of `qkv` (N, 3 C, H, W)."""
        batch, _, height, width = qkv.shape
        qkv = qkv.reshape(batch, self.num_heads, -1, 3, height * width)  # (N, heads, d, 3, T)
        q, k, v = (each.transpose(2, 3) for each in normalize(qkv, dims=[2]).unbind(3))
        attended = F.scaled_dot_product_attention(q, k, v)  # (N, heads, T, d)
        return attended.transpose(2, 3).reshape(batch, -1, height, width)
