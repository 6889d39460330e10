"""Images of data sets to images of models, and back."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from mmcm.utils.mmengine_bases import BaseDataPreprocessor

SLACK = 0.25  # of the range: what resampling with negative weights may overshoot


@MODELS.register_module()
class ImagePreprocessor(BaseDataPreprocessor):
    """Move a batch to the device and its images to [-1, 1], RGB, float32; `destruct` is the way back.

    Args:
        channel_order (str): 'rgb' or 'bgr', order of the channels in the data set. One-channel images have none.
        value_range (Sequence[float]): Values of black and white in the data set, for uint8 and float images alike.
        non_blocking (bool): Whether the copy to the device may overlap with computation.
    """

    def __init__(
        self, channel_order: str = 'rgb', value_range: Sequence[float] = (0.0, 255.0), non_blocking: bool = False
    ) -> None:
        super().__init__(non_blocking)
        if channel_order not in ('rgb', 'bgr'):
            raise InputError(f"channel_order has to be 'rgb' or 'bgr', got {channel_order!r}.")
        black, white = value_range
        if not -math.inf < black < white < math.inf:
            raise InputError(f'value_range has to be (black, white) with black < white, got {tuple(value_range)}.')
        self.channel_order = channel_order
        self.black = black
        self.half_range = (white - black) / 2

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a batch.

        Args:
            data (dict): `inputs`, images (N, C, H, W) or a list of (C, H, W), uint8 or float; None or a dict (a call of
                MMagic) stays as it is. Other arguments of the model's `forward` are moved to the device.
            training (bool): Not used: nothing random happens here.

        Returns:
            dict: The same with float32 images in [-1, 1].

        Raises:
            InputError: If there are values that are NaN or far beyond `value_range`.
        """
        given: Tensor | Sequence[Tensor] | dict | None = data.get('inputs')
        if given is None or isinstance(given, dict):
            return self.cast_data(data)
        inputs = given if isinstance(given, Tensor) else torch.stack(list(given))
        self.check_range(inputs)
        data = self.cast_data({**data, 'inputs': inputs})
        inputs = data['inputs']
        if self.channel_order == 'bgr' and inputs.shape[1] == 3:
            inputs = inputs.flip(1)
        return {**data, 'inputs': (inputs.float() - self.black) / self.half_range - 1}

    def check_range(self, inputs: Tensor) -> None:
        """Raise an InputError if values of `inputs` cannot be what `value_range` says."""
        white = self.black + 2 * self.half_range
        fits_any = inputs.dtype == torch.uint8 and self.black <= 0 and white >= 255
        if fits_any or inputs.device.type != 'cpu' or not inputs.numel():  # on a device, looking would wait for it
            return
        darkest, brightest = (value.item() for value in inputs.aminmax())
        slack = SLACK * 2 * self.half_range
        if self.black - slack <= darkest and brightest <= white + slack:
            return  # which no NaN does
        rows = inputs.flatten(1)
        wrong = ~((rows >= self.black - slack) & (rows <= white + slack)).all(1)
        first = int(wrong.nonzero()[0])
        raise InputError(
            f'{int(wrong.sum())} of {len(rows)} images of a batch have values that are NaN or beyond '
            f'{self.black:g} (black) to {white:g} (white), the first of them image {first} with '
            f'{rows[first].min():g} to {rows[first].max():g}: correct the images, or set value_range of '
            'ImagePreprocessor to the range that they have.'
        )

    @staticmethod
    def destruct(images: Tensor) -> Tensor:
        """Return images in [-1, 1], any shape, as uint8: rounded, so that uint8 images come back as they were."""
        return ((images + 1) * 127.5).round_().clamp_(0, 255).to(torch.uint8)
