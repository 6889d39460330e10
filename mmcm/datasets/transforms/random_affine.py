"""Random rotation, scale and shift: augmentation for classifiers of few images."""

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmcm.registry import TRANSFORMS
from mmcm.utils.errors import InputError


@TRANSFORMS.register_module()
class RandomAffine(BaseTransform):
    """Rotate, scale and shift an image at random about its centre, with bilinear interpolation.

    Each number is uniform. Random numbers come from NumPy's global generator, which MMEngine seeds in every worker
    process.

    Args:
        max_rotation (float): Largest rotation in degrees, in either direction.
        max_scaling (float): Largest change of the size: the scale is from 1 - `max_scaling` to 1 + `max_scaling`.
        max_shift (float): Largest shift along each axis, in pixels.
        max_shear (float): Largest horizontal shift of a row per pixel of its distance to the middle row.
        value (int): Level of what comes from outside of the image, in every channel, 0 to 255.
    """

    def __init__(
        self,
        max_rotation: float = 0.0,
        max_scaling: float = 0.0,
        max_shift: float = 0.0,
        max_shear: float = 0.0,
        value: int = 0,
    ) -> None:
        if min(max_rotation, max_scaling, max_shift, max_shear) < 0 or max_scaling >= 1:
            raise InputError(
                'RandomAffine needs limits of at least 0 and a max_scaling below 1, got max_rotation '
                f'{max_rotation}, max_scaling {max_scaling}, max_shift {max_shift}, max_shear {max_shear}.'
            )
        self.limits = np.array([np.deg2rad(max_rotation), max_scaling, max_shift, max_shift, max_shear])
        self.value = value

    def transform(self, results: dict) -> dict:
        """Transform `img`, (H, W, C) uint8."""
        image = results['img']
        angle, scaling, right, down, shear = np.random.uniform(-self.limits, self.limits)
        cosine, sine = (1 + scaling) * np.cos(angle), (1 + scaling) * np.sin(angle)
        matrix = np.array([[cosine, -sine], [sine, cosine]]) @ np.array([[1, shear], [0, 1]])
        centre = (np.array(image.shape[1::-1]) - 1) / 2
        offset = centre - matrix @ centre + (right, down)
        warped = cv2.warpAffine(
            image, np.column_stack([matrix, offset]), image.shape[1::-1], flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT, borderValue=image.shape[2] * (self.value,))  # yapf: disable
        results['img'] = warped.reshape(image.shape)  # OpenCV drops a single channel
        return results
