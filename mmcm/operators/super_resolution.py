"""Super-resolution: the means of patches are known, their details are not."""

from torch import Tensor
from torch.nn import functional as F

from mmcm.operators.base import EditingOperator
from mmcm.registry import OPERATORS
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError


@OPERATORS.register_module()
class SuperResolution(EditingOperator):
    """The means of patches are known: P x is the mean of each patch of factor x factor pixels, in all of them.

    Any orthonormal basis of the patch whose first vector is constant has this P.

    Args:
        factor (int): Side of a patch, 2 or more: the result is this many times larger than the known image.
    """

    def __init__(self, factor: int) -> None:
        check_count('factor', factor, least=2)
        self.factor = int(factor)

    def degrade(self, image: Tensor) -> Tensor:
        """Return the means, each in all pixels of its patch."""
        height, width = image.shape[-2:]
        if height % self.factor or width % self.factor:
            raise InputError(
                f'factor {self.factor} does not divide the size of the images, {height} x {width}: '
                'choose one that does.'
            )
        means = F.avg_pool2d(image, self.factor)
        return means.repeat_interleave(self.factor, dim=-2).repeat_interleave(self.factor, dim=-1)

    def keep(self, known: Tensor, estimate: Tensor) -> Tensor:
        """Return estimate + P (known - estimate)."""
        return estimate + self.degrade(known - estimate)
