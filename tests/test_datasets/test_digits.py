import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from mmcm.datasets import DigitsDataset
from mmcm.utils.errors import InputError


def arrays(split):
    samples = list(DigitsDataset(split))
    return torch.stack([sample['inputs'] for sample in samples]), [sample['gt_label'] for sample in samples]


def test_images_and_labels_are_scikit_learns():
    images, labels = arrays('all')
    expected = load_digits()
    assert images.shape == (1797, 1, 8, 8) and images.dtype == torch.uint8
    levels = np.rint(images[:, 0].numpy() * (16 / 255))  # from 0 ... 255 back to 0 ... 16
    assert np.array_equal(levels, expected.images)
    assert labels == expected.target.tolist()


def test_ink_is_white():
    images, _ = arrays('all')
    assert images.min() == 0 and images.max() == 255
    assert len(images.unique()) == 17


def test_halves_take_turns_and_cover_all():
    (images, labels), (even, even_labels), (odd, odd_labels) = map(arrays, ('all', 'train', 'test'))
    assert len(even) + len(odd) == len(images)
    assert torch.equal(even, images[0::2]) and torch.equal(odd, images[1::2])
    assert even_labels == labels[0::2] and odd_labels == labels[1::2]


def test_unknown_split_is_refused():
    with pytest.raises(InputError, match="all, train, test, got 'val'"):
        DigitsDataset('val')
