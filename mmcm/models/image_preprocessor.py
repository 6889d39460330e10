"""Between images as files and data sets have them and images as the models have them."""
from collections.abc import Sequence
from typing import Union

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmcm.registry import MODELS
from mmcm.utils.errors import InputError


@MODELS.register_module()
class ImagePreprocessor(BaseDataPreprocessor):
    """Move a batch to the device and its images to [-1, 1], RGB, float32; `destruct` is the way back.

    Args:
        channel_order (str): 'rgb' or 'bgr', order of the channels in the data set. One-channel images have none.
        value_range (Sequence[float]): Values of black and white in the data set, for uint8 and float images alike.
        non_blocking (bool): Whether the copy to the device may overlap with computation.
    """

    def __init__(self,
                 channel_order: str = 'rgb',
                 value_range: Sequence[float] = (0., 255.),
                 non_blocking: bool = False) -> None:
        super().__init__(non_blocking)
        if channel_order not in ('rgb', 'bgr'):
            raise InputError(f"channel_order has to be 'rgb' or 'bgr', got {channel_order!r}.")
        black, white = value_range
        if black >= white:
            raise InputError(f'value_range has to be (black, white) with black < white, got {tuple(value_range)}.')
        self.channel_order = channel_order
        self.black = black
        self.half_range = (white - black) / 2

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a batch.

        Args:
            data (dict): `inputs`, images (N, C, H, W) or a list of (C, H, W), uint8 or float; may be absent, when
                images are to be drawn. Whatever else the model's `forward` takes is moved to the device.
            training (bool): Not used: nothing random happens here.

        Returns:
            dict: The same with float32 images in [-1, 1].
        """
        data = self.cast_data(data)
        if data.get('inputs') is None:
            return data
        inputs: Union[Tensor, Sequence[Tensor]] = data['inputs']
        if not isinstance(inputs, Tensor):
            inputs = torch.stack(list(inputs))
        if self.channel_order == 'bgr' and inputs.shape[1] == 3:
            inputs = inputs.flip(1)
        return {**data, 'inputs': (inputs.float() - self.black) / self.half_range - 1}

    @staticmethod
    def destruct(images: Tensor) -> Tensor:
        """Return images in [-1, 1], any shape, as uint8: rounded, so that uint8 images come back as they were."""
        return ((images + 1) * 127.5).round_().clamp_(0, 255).to(torch.uint8)
