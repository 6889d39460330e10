"""Pictures that say where to begin, and no more: sketches, and pictures with noise."""

from torch import Tensor

from mmcm.operators.base import EditingOperator
from mmcm.registry import OPERATORS


@OPERATORS.register_module()
class Guide(EditingOperator):
    """Nothing is known, P = 0, but drawing starts from the picture: x = picture + sigma z, sigma being the first level.

    With a first level below `sigma_max`, that is SDEdit (Meng et al., 2022, arXiv 2108.01073): noise covers the details
    of a sketch and leaves its large shapes, and the model draws a picture around them. From a low level, it is a
    variation of the picture.
    """

    def degrade(self, image: Tensor) -> Tensor:
        """Return `image`: it is shown as it is."""
        return image

    def keep(self, known: Tensor, estimate: Tensor) -> Tensor:
        """Return `estimate`."""
        return estimate


@OPERATORS.register_module()
class Denoising(Guide):
    """The picture is one with noise of the first level already: x = picture, to which none is added.

    A consistency model takes the noise away with one call, f(x, sigma) (Song et al., 2023, Section 3).
    """

    def start(self, known: Tensor, noise: Tensor, sigma: float) -> Tensor:
        """Return `known` in units of `sigma`."""
        return known / sigma
