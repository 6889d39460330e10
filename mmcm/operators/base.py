"""Linear operators for Algorithm 4 of Song et al. (2023): projections on the known part of an image.

An operator is an orthogonal change of basis A with a set of known coordinates. P = A^-1 (1 - Omega) A, where Omega is 1
for the unknown coordinates, projects an image on its known part. No basis has to be written down: P depends only
on the space that the known coordinates span.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class EditingOperator(ABC):
    """A projection P on the known coordinates of images (N, C, H, W) in [-1, 1]."""

    @abstractmethod
    def degrade(self, image: Tensor) -> Tensor:
        """Return an image that shows the known part of `image` (N, C, H, W), and nothing else.

        P is the same for both, so either may be `known` below.

        Raises:
            InputError: If the operator is not for images of this shape.
        """

    @abstractmethod
    def keep(self, known: Tensor, estimate: Tensor) -> Tensor:
        """Return P known + (1 - P) estimate: `estimate` with the known coordinates put right, both (N, C, H, W)."""

    def start(self, known: Tensor, noise: Tensor, sigma: float) -> Tensor:
        """Return where sampling starts, in units of its first level `sigma`: noise around what is known, (N, C, H, W).

        At sigma_max this is the same as noise alone; at a lower level it is `known` with that much noise added.
        """
        return noise + known / sigma

    def to(self, device: torch.device | str) -> 'EditingOperator':
        """Return the operator with its tensors on `device`, that of the images; the base class has no tensors.

        Called once, so that `keep`, which is called in each step, never waits for a copy to the device.
        """
        return self
