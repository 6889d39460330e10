import torch

from mmcm.registry import MODELS


def test_pixels_lie_between_minus_one_and_one():
    pixels = MODELS.build(dict(type='Pixels'))
    pixels.init_weights()
    images = torch.tensor([[0, 51, 204, 255]], dtype=torch.uint8).view(1, 1, 2, 2)
    made = pixels.extract(images)
    assert made.features.tolist() == [[-1.0, torch.tensor(-0.6).item(), torch.tensor(0.6).item(), 1.0]]
    assert made.features.dtype == torch.float32 and made.logits is None
    assert pixels.fingerprint == MODELS.build(dict(type='Pixels')).fingerprint


def test_larger_images_are_averaged():
    images = torch.tensor([[0, 255, 51, 51], [255, 0, 51, 51]], dtype=torch.uint8).view(1, 1, 2, 4)
    made = MODELS.build(dict(type='Pixels', size=2)).extract(images)  # only the width exceeds 2
    assert made.features.tolist() == [[0.0, torch.tensor(-0.6).item(), 0.0, torch.tensor(-0.6).item()]]
    same = MODELS.build(dict(type='Pixels', size=4)).extract(images).features
    assert torch.equal(same, MODELS.build(dict(type='Pixels')).extract(images).features)


def test_size_is_part_of_the_fingerprint():
    prints = {MODELS.build(dict(type='Pixels', **size)).fingerprint for size in ({}, dict(size=2), dict(size=4))}
    assert len(prints) == 3
