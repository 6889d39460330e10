"""What a feature extractor returns. It is a module with `extract(images)`, images being uint8, (N, C, H, W)."""
from typing import NamedTuple, Optional

from torch import Tensor


class Features(NamedTuple):
    """Features of a batch of images.

    Attributes:
        features (Tensor): (N, D).
        logits (Tensor, optional): Unnormalised log-probabilities of the classes, (N, K).
    """

    features: Tensor
    logits: Optional[Tensor] = None
