import numpy as np
import pytest
import torch

from mmcm.apis.analysis import dataset_sheet
from mmcm.apis.analysis.dataset_grid import described, measure
from mmcm.datasets import DigitsDataset
from mmcm.datasets.image_dataset import ImageDataset
from mmcm.utils.errors import InputError


class Plain(ImageDataset):
    """Images of one colour each, of sizes that differ."""

    def __init__(self, num_images, labels=None, channels=3):
        self.channels = channels
        super().__init__(num_images, labels, ['grey', 'a name that is far too long to stand beside its row'], 'plain')

    fingerprint = ''

    def read(self, position):
        height = 6 if position % 3 else 12
        image = torch.zeros(self.channels, height, 8, dtype=torch.uint8)
        image[0] = position
        return dict(inputs=image)


def test_numbers_are_those_of_the_images():
    numbers = measure(DigitsDataset(), 10000)
    images, labels = DigitsDataset().images.double(), DigitsDataset().labels
    assert numbers['num_images'] == numbers['num_measured'] == 1797 and numbers['channels'] == 1
    assert numbers['images_per_class'] == np.bincount(labels).tolist()
    assert numbers['mean'] == pytest.approx([float(images.mean())])
    assert numbers['std'] == pytest.approx([float(images.std(unbiased=False))])
    assert numbers['sizes'] == {'8 x 8': 1797}


def test_sizes_that_differ_are_counted_and_colours_are_of_pixels():
    numbers = measure(Plain(30), 7)  # images 0, 5, 10, 14, 19, 24 and 29
    assert numbers['sizes'] == {'8 x 6': 5, '8 x 12': 2} and numbers['num_measured'] == 7
    pixels = np.concatenate([np.full((12 if i % 3 == 0 else 6) * 8, i) for i in (0, 5, 10, 14, 19, 24, 29)])
    assert numbers['mean'] == pytest.approx([pixels.mean(), 0, 0])
    assert numbers['std'] == pytest.approx([pixels.std(), 0, 0])
    assert numbers['images_per_class'] is None
    assert described(numbers).splitlines()[:2] == ['30 images, no classes', 'pixels of 7 images: 8 x 6 (5), 8 x 12 (2)']


def test_rows_are_classes():
    data = Plain(40, labels=[0] * 39 + [1])
    sheet, numbers = dataset_sheet(data, rows=5, columns=3, side=12)
    assert numbers['images_per_class'] == [39, 1]
    colours = {tuple(colour) for colour in sheet.reshape(-1, 3).tolist()}
    reds = {red for red, green, blue in colours if green == blue == 0 and 0 < red < 39}
    assert 2 <= len(reds) <= 3  # image 0 is black
    assert (39, 0, 0) in colours  # the only one of its class


def test_the_choice_is_that_of_the_seed():
    data = DigitsDataset()
    first, again, other = (dataset_sheet(data, 2, 3, seed=seed)[0] for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_images_without_classes_fill_the_sheet():
    sheet, _ = dataset_sheet(Plain(200), rows=4, columns=5, side=12)
    reds = {red for red, green, blue in map(tuple, sheet.reshape(-1, 3).tolist()) if green == blue == 0}
    assert 19 <= len(reds - {0}) <= 20  # black is also the text


def test_there_has_to_be_something_to_show():
    with pytest.raises(InputError, match='columns'):
        dataset_sheet(Plain(3), columns=0)
