"""Pixels as features, for metrics without a network."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmcm.evaluation.features.base import Features, fingerprint_of
from mmcm.registry import MODELS
from mmcm.utils.checks import check_count


@MODELS.register_module()
class Pixels(nn.Module):
    """A feature extractor without weights: the pixels of an image, in [-1, 1].

    Args:
        size (int, optional): Larger images are averaged to at most this height and width, in pixels, so that the number
            of features is bounded. None: all pixels.
    """

    def __init__(self, size: int | None = None) -> None:
        super().__init__()
        if size is not None:
            check_count('size', size)
        self.size = size
        self.fingerprint = fingerprint_of(self, **({} if size is None else dict(size=size)))

    def init_weights(self) -> None:
        """Return at once: there are no weights to read."""

    @torch.no_grad()
    def extract(self, images: Tensor) -> Features:
        """Return the pixels (N, C h w) of `images` (N, C, H, W), uint8, as float32 in [-1, 1]."""
        pixels = images.float() / 127.5 - 1
        if self.size is not None and max(images.shape[2:]) > self.size:
            height, width = (min(side, self.size) for side in images.shape[2:])
            pixels = functional.adaptive_avg_pool2d(pixels, (height, width))
        return Features(pixels.flatten(1))
