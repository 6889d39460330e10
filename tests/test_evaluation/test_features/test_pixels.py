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
