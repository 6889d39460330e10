import torch
from mmengine.structures import BaseDataElement

from mmcm.structures import DataSample, labels_of


def test_label_becomes_a_row_of_integers():
    assert torch.equal(DataSample.of(label=3).gt_label.label, torch.tensor([3]))
    assert torch.equal(DataSample.of(label=torch.tensor([3, 5])).gt_label.label, torch.tensor([3, 5]))
    assert DataSample.of(label=torch.tensor([3], dtype=torch.int32)).gt_label.label.dtype == torch.int64


def test_label_zero_is_a_label():
    assert torch.equal(labels_of([DataSample.of(label=0)]), torch.tensor([0]))


def test_no_label_is_no_field():
    sample = DataSample.of(sample_seed=7)
    assert 'gt_label' not in sample and sample.sample_seed == 7


def test_fields_are_read_by_key_as_mmagic_does():
    assert DataSample(fake_img=torch.ones(3, 2, 2))['fake_img'].shape == (3, 2, 2)


def test_labels_of_samples_are_joined():
    samples = [DataSample.of(label=label) for label in (4, 2, 4)]
    assert torch.equal(labels_of(samples), torch.tensor([4, 2, 4]))
    assert torch.equal(labels_of(DataSample.of(label=torch.tensor([1, 0]))), torch.tensor([1, 0]))


def test_samples_without_labels_have_none():
    assert labels_of(None) is None
    assert labels_of([DataSample.of(), DataSample.of()]) is None
    assert labels_of([BaseDataElement()]) is None
