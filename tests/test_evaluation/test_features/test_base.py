import torch
from torch import nn

from mmcm.evaluation.features.base import fingerprint_of, full_precision
from mmcm.registry import MODELS


def test_fingerprint_depends_on_kind_weights_and_settings():
    layer = nn.Linear(2, 2)
    same = nn.Linear(2, 2)
    same.load_state_dict(layer.state_dict())

    class Other(nn.Linear):
        pass

    other = Other(2, 2)
    other.load_state_dict(layer.state_dict())
    assert fingerprint_of(layer, size=8, scale=2) == fingerprint_of(same, scale=2, size=8)
    different = [
        fingerprint_of(layer),
        fingerprint_of(other),
        fingerprint_of(nn.Linear(2, 2)),
        fingerprint_of(layer, size=8),
        fingerprint_of(layer, size=9),
    ]
    assert len(set(different)) == len(different)


def test_arithmetic_is_exact_within_the_block_and_as_before_after_it(monkeypatch):
    layer, x, cudnn = nn.Linear(3, 3), torch.randn(2, 3), torch.backends.cudnn
    monkeypatch.setattr(cudnn, 'allow_tf32', True)
    before = cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic
    with torch.autocast('cpu', torch.bfloat16):
        with full_precision(x.device):
            y = layer(x)
            assert not cudnn.allow_tf32
        assert layer(x).dtype == torch.bfloat16
    assert y.dtype == torch.float32
    assert not y.requires_grad
    assert (cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic) == before


def test_digits_classifier_has_a_fingerprint_once_its_weights_are_read():
    classifier = MODELS.build(dict(type='DigitsClassifier', checkpoint='package:weights/digits_classifier.safetensors'))
    assert classifier.fingerprint is None
    classifier.init_weights()
    assert len(classifier.fingerprint) == 64
    assert classifier.fingerprint == fingerprint_of(classifier)
