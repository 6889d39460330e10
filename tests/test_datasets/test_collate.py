import pytest
import torch

from mmcm.datasets import stack_samples
from mmcm.utils.errors import InputError


def test_images_and_labels_are_stacked():
    images = torch.arange(24, dtype=torch.uint8).view(2, 3, 2, 2)
    batch = stack_samples([dict(inputs=image, gt_label=label) for image, label in zip(images, (0, 7))])
    assert torch.equal(batch['inputs'], images) and batch['inputs'].dtype == torch.uint8
    assert torch.equal(batch['data_samples'].gt_label.label, torch.tensor([0, 7]))


def test_images_without_classes_get_no_labels():
    for sample in (dict(inputs=torch.zeros(1, 2, 2)), dict(inputs=torch.zeros(1, 2, 2), gt_label=None)):
        assert 'gt_label' not in stack_samples([sample, sample])['data_samples']


def test_what_was_fetched_at_one_go_is_a_batch_already():
    images = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
    batch = stack_samples(dict(inputs=images, gt_label=torch.tensor([4, 5])))
    assert batch['inputs'] is images and batch['data_samples'].gt_label.label.tolist() == [4, 5]
    assert 'gt_label' not in stack_samples(dict(inputs=images, gt_label=None))['data_samples']


def test_images_of_several_sizes_are_refused():
    with pytest.raises(InputError, match='3 x 2 and 4 x 2 pixels: crop'):
        stack_samples([dict(inputs=torch.zeros(1, 2, width)) for width in (3, 4)])
