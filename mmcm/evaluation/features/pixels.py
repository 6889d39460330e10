"""Pixels as features, for metrics without a network."""

import torch
from torch import Tensor, nn

from mmcm.evaluation.features.base import Features, fingerprint_of
from mmcm.registry import MODELS


@MODELS.register_module()
class Pixels(nn.Module):
    """A feature extractor without weights: the pixels of an image, in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.fingerprint = fingerprint_of(self)

    def init_weights(self) -> None:
        """Return at once: there are no weights to read."""

    @torch.no_grad()
    def extract(self, images: Tensor) -> Features:
        """Return the pixels (N, C H W) of `images` (N, C, H, W), uint8, as float32 in [-1, 1]."""
        return Features(images.flatten(1).float() / 127.5 - 1)
