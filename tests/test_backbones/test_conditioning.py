import torch

from mmcm.backbones.conditioning import class_vectors


def test_vectors_of_labels_are_one_hot_and_zero_for_the_null_class():
    expected = torch.tensor([[0.0, 1, 0], [0, 0, 0]])
    assert torch.equal(class_vectors(torch.tensor([1, 3]), 3, torch.float32), expected)
    assert torch.equal(class_vectors(expected.double(), 3, torch.float32), expected)
