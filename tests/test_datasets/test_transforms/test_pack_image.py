import numpy as np
import pytest
import torch

from mmcm.datasets.transforms import PackImage
from mmcm.utils.errors import InputError


def test_channels_come_first_and_the_label_stays():
    pixels = np.arange(8, dtype=np.uint8).reshape(2, 4, 1).repeat(3, axis=2)  # grey: the same in RGB and BGR
    packed = PackImage().transform(dict(img=pixels, gt_label=0, img_path='a.png'))
    assert set(packed) == {'inputs', 'gt_label'} and packed['gt_label'] == 0
    assert packed['inputs'].shape == (3, 2, 4) and packed['inputs'].dtype == torch.uint8
    assert packed['inputs'].is_contiguous()
    assert torch.equal(packed['inputs'], torch.arange(8, dtype=torch.uint8).view(1, 2, 4).expand(3, 2, 4))


def test_image_without_a_class_has_none():
    assert PackImage().transform(dict(img=np.zeros((2, 2, 1), np.uint8)))['gt_label'] is None


@pytest.mark.parametrize('given', [1, 3])
@pytest.mark.parametrize('channels', [1, 3, None])
def test_channels_are_those_that_are_asked_for(given, channels):
    pixels = np.arange(8, dtype=np.uint8).reshape(2, 4, 1).repeat(given, axis=2)
    packed = PackImage(channels).transform(dict(img=pixels))['inputs']
    expected = torch.arange(8, dtype=torch.uint8).view(1, 2, 4).expand(channels or given, 2, 4)
    assert torch.equal(packed, expected) and packed.is_contiguous()
    packed.zero_()
    assert pixels.any()  # a copy


def test_colours_are_not_made_grey():
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[1, 0, 2] = 1
    with pytest.raises(InputError, match='a.png has colours, and grey images are expected'):
        PackImage(channels=1).transform(dict(img=pixels, img_path='a.png'))
    with pytest.raises(InputError, match='channels has to be 1, 3 or None, got 2'):
        PackImage(channels=2)
