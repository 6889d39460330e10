import numpy as np

from mmcm.datasets.transforms import PackImage, ToGrey


def test_colours_become_their_brightness():
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)[..., ::-1]  # red, green, blue; BGR
    grey = ToGrey().transform(dict(img=pixels))['img']
    assert grey.shape == (1, 3, 1)
    # ITU-R BT.601: 0.299, 0.587 and 0.114 of 255
    assert grey[0, :, 0].tolist() == [76, 150, 29]


def test_grey_images_keep_their_levels():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    for pixels in (levels, levels.repeat(3, axis=2)):
        results = ToGrey().transform(dict(img=pixels))
        assert np.array_equal(results['img'], levels)
    assert PackImage(channels=1).transform(results)['inputs'].shape == (1, 16, 16)
