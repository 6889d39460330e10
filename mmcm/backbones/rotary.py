"""Rotary positions of attention (Su et al., 2021, arXiv 2104.09864): pairs of channels are turned by an angle."""

import torch
from torch import Tensor

BASE = 10000.0  # the longest period, in positions, is 2 pi BASE


def angles_1d(length: int, channels: int, device: torch.device | None = None) -> Tensor:
    """Return position times frequency for each token and pair of channels: (length, channels / 2), float32."""
    exponents = torch.arange(0, channels, 2, dtype=torch.float32, device=device) / channels
    positions = torch.arange(length, dtype=torch.float32, device=device)
    return positions[:, None] * (1.0 / BASE**exponents)


def angles_2d(rows: int, columns: int, channels: int, device: torch.device | None = None) -> Tensor:
    """Return the angles of a grid of tokens, row by row: (rows * columns, channels / 2), float32.

    The row turns the first half of the channels, the column the second half.
    """
    down = angles_1d(rows, channels // 2, device)[:, None].expand(-1, columns, -1)
    across = angles_1d(columns, channels // 2, device)[None].expand(rows, -1, -1)
    return torch.cat([down, across], dim=-1).flatten(0, 1)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turn neighbouring channels of `x` (..., T, d) by `angles` (T, d / 2), in float32 or better."""
    cos, sin = angles.cos(), angles.sin()
    precise = x.to(torch.promote_types(x.dtype, angles.dtype))
    first, second = precise.unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([first * cos - second * sin, first * sin + second * cos], dim=-1)
    return turned.flatten(-2).to(x.dtype)
