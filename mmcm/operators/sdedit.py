"""SDEdit: images that say where sampling begins, and no more, such as sketches and images with noise."""

from torch import Tensor

from mmcm.operators.base import EditingOperator
from mmcm.registry import OPERATORS
from mmcm.renamed import moved_name


@OPERATORS.register_module(name=['SDEdit', 'Guide'])  # Guide is its former name, which configs may have
class SDEdit(EditingOperator):
    """Nothing is known, P = 0, but sampling starts from the image: x = image + sigma z, sigma being the first level.

    With a first level below `sigma_max`, that is SDEdit (Meng et al., 2022, arXiv 2108.01073): noise covers the details
    of a sketch and leaves its large shapes, and the model generates an image around them. From a low level, the result
    is a variation of the image.
    """

    def degrade(self, image: Tensor) -> Tensor:
        """Return `image`: it is shown as it is."""
        return image

    def keep(self, known: Tensor, estimate: Tensor) -> Tensor:
        """Return `estimate`."""
        return estimate


@OPERATORS.register_module()
class Denoising(SDEdit):
    """The image already has noise of the first level: x = image, to which no noise is added.

    A consistency model removes the noise with one evaluation, f(x, sigma) (Song et al., 2023, Section 3).
    """

    def start(self, known: Tensor, noise: Tensor, sigma: float) -> Tensor:
        """Return `known` in units of `sigma`."""
        return known / sigma


def __getattr__(name: str) -> object:
    return moved_name(__name__, name)
