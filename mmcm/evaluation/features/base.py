"""Base of feature extractors.

An extractor is a registered module. `init_weights()` reads its weights; then `extract(images)` returns the `Features`
of images, uint8, (N, C, H, W), on its device, and `fingerprint` identifies its features.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mmcm.checkpoints.weights import digest
from mmcm.utils.batches import Batches
from mmcm.utils.errors import InputError


class Features(NamedTuple):
    """Features of a batch of images.

    Attributes:
        features (Tensor): (N, D).
        logits (Tensor, optional): Unnormalised log-probabilities of the classes, (N, K).
        spatial (Tensor, optional): Features that keep positions in the image, flattened, (N, S).
    """

    features: Tensor
    logits: Tensor | None = None
    spatial: Tensor | None = None


class FeatureExtractor(nn.Module):
    """An extractor whose `forward(images)` returns the `Features` of one batch that fits the memory.

    Args:
        batch_size (int): Largest number of images per pass. On a GPU, a batch that does not fit is halved.

    Attributes:
        fingerprint (str, optional): Digest of everything that the features depend on, 64 hexadecimal digits; None until
            `init_weights` has read the weights.
    """

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self.batches = Batches(batch_size)
        self.fingerprint: str | None = None

    def extract(self, images: Tensor) -> Features:
        """Return the features of `images` (N, C, H, W), uint8, on the device of the network, in float32.

        Raises:
            InputError: If the weights have not been read, or the network cannot take these images.
        """
        if self.fingerprint is None:
            raise InputError(f'{type(self).__name__} has no weights yet: call init_weights().')
        if images.dtype != torch.uint8 or images.ndim != 4 or not len(images):
            raise InputError(
                f'{type(self).__name__} takes images, uint8 (N, C, H, W), got '
                f'{str(images.dtype).rpartition(".")[2]} {tuple(images.shape)}.'
            )
        with full_precision(images.device):
            parts = list(self.batches.run(lambda part: self(images[part]), len(images)))
            return Features._make(None if column[0] is None else torch.cat(column) for column in zip(*parts))


def fingerprint_of(extractor: nn.Module, **settings: Any) -> str:
    """Return a digest of everything that features depend on, 64 hexadecimal digits.

    Args:
        extractor (Module): The extractor, with its class and its weights.
        **settings: Further settings, plain values that `repr` distinguishes.
    """
    content = f'{type(extractor).__name__} {sorted(settings.items())!r} {digest(extractor.state_dict())}'
    return hashlib.sha256(content.encode()).hexdigest()


def as_rgb(images: Tensor) -> Tensor:
    """Return `images` (N, 3 or 1, H, W) with three channels, which are equal where the images are grey.

    Raises:
        InputError: For another number of channels.
    """
    if images.shape[1] not in (1, 3):
        raise InputError(f'the features are those of RGB or grey images, got {images.shape[1]} channels.')
    return images.expand(-1, 3, -1, -1)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Within the block, compute in float32 without gradients: no autocast, and no TF32, which is off by 1e-3."""
    cudnn = torch.backends.cudnn
    exact = cudnn.flags(
        enabled=cudnn.enabled, benchmark=cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False
    )
    with torch.no_grad(), torch.autocast(device.type, enabled=False), exact:
        yield
