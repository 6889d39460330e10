"""What is known of a picture: linear operators for Algorithm 4 of Song et al. (2023).

An operator is an orthogonal change of basis A with the set of coordinates that are known. P = A^-1 (1 - Omega) A, where
Omega is 1 for the unknown ones, projects a picture on what is known of it. None of the bases has to be written down:
what keeps the known coordinates depends on the space that they span alone.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class EditingOperator(ABC):
    """A projection P on the known coordinates of images (N, C, H, W) in [-1, 1]."""

    @abstractmethod
    def degrade(self, image: Tensor) -> Tensor:
        """Return a picture that shows what is known of `image` (N, C, H, W), and nothing else.

        P is the same for both, so that either may be `known` below.

        Raises:
            InputError: If the operator is not for images of this shape.
        """

    @abstractmethod
    def keep(self, known: Tensor, estimate: Tensor) -> Tensor:
        """Return P known + (1 - P) estimate: `estimate` with the known coordinates put right, both (N, C, H, W)."""

    def start(self, known: Tensor, noise: Tensor, sigma: float) -> Tensor:
        """Return where drawing begins, in units of its first level `sigma`: noise around what is known, (N, C, H, W).

        At sigma_max there is no difference to noise alone; from a lower level on it is as if that much had been added.
        """
        return noise + known / sigma

    def to(self, device: torch.device | str) -> 'EditingOperator':
        """Return the operator with its tensors on `device`, that of the images; this one has none.

        Asked for once, so that `keep`, which is called in each step, never waits for a copy to the device.
        """
        return self
