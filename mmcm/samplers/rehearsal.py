"""What a sampler asks for: a run on an image of one pixel, without a network."""

import torch
from torch import Tensor

from mmcm.samplers.base import Sampler


def rehearse(sampler: Sampler) -> tuple[int, list[float]]:
    """Return how often `sampler` asks for noise, and the noise level of each call of the network."""
    draws, sigmas = 1, []

    def denoise(x: Tensor, sigma: Tensor, next_sigma: Tensor | None = None) -> Tensor:
        sigmas.append(sigma.item())
        return x

    def randn_like(x: Tensor) -> Tensor:
        nonlocal draws
        draws += 1
        return x

    sampler(denoise, torch.zeros(1, 1, 1, 1, dtype=torch.float32, device='cpu'), randn_like)
    return draws, sigmas
