import numpy as np
import torch

from mmcm.datasets.transforms import PackImage


def test_channels_come_first_and_the_label_stays():
    pixels = np.arange(8, dtype=np.uint8).reshape(2, 4, 1).repeat(3, axis=2)  # grey: the same in RGB and BGR
    packed = PackImage().transform(dict(img=pixels, gt_label=0, img_path='a.png'))
    assert set(packed) == {'inputs', 'gt_label'} and packed['gt_label'] == 0
    assert packed['inputs'].shape == (3, 2, 4) and packed['inputs'].dtype == torch.uint8
    assert packed['inputs'].is_contiguous()
    assert torch.equal(packed['inputs'], torch.arange(8, dtype=torch.uint8).view(1, 2, 4).expand(3, 2, 4))


def test_image_without_a_class_has_none():
    assert PackImage().transform(dict(img=np.zeros((2, 2, 1), np.uint8)))['gt_label'] is None
