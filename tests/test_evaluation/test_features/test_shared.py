import gc

import pytest
import torch

from mmcm.evaluation.features.shared import shared_extractor
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from support.synthetic_images import EXTRACTOR, IntegerNetwork, drawn


def test_equal_configs_have_one_network_whatever_the_order_of_their_keys():
    first = shared_extractor(dict(type='IntegerNetwork', seed=7, without=()))
    assert shared_extractor(dict(without=(), seed=7, type='IntegerNetwork')) is first
    assert shared_extractor(dict(type='IntegerNetwork', seed=8, without=())) is not first


def test_networks_that_nobody_uses_are_forgotten():
    config = dict(type='IntegerNetwork', seed=9)
    before = IntegerNetwork.built
    for built in (1, 2):
        extractor = shared_extractor(config)
        assert extractor.fingerprint and IntegerNetwork.built == before + built
        del extractor
        gc.collect()


def test_a_batch_is_looked_at_once():
    extractor = shared_extractor(dict(type='IntegerNetwork', seed=10))
    samples = [sample.to_dict() for sample in drawn(3)]
    first = extractor.extract_samples(samples)
    assert extractor.extract_samples(samples) is first
    other = [dict(sample, fake_img=255 - sample['fake_img']) for sample in samples]
    assert not torch.equal(extractor.extract_samples(other).features, first.features)
    assert extractor.network.calls == 2


def test_any_module_that_extracts_has_a_fingerprint():

    @MODELS.register_module(force=True)
    class Plain(torch.nn.Linear):
        def __init__(self, weight):
            super().__init__(1, 1)
            torch.nn.init.constant_(self.weight, weight)
            torch.nn.init.constant_(self.bias, 0)

        def init_weights(self):
            pass

        def extract(self, images):
            return images

    prints = [shared_extractor(dict(type='Plain', weight=weight)).fingerprint for weight in (1.0, 1.0, 2.0)]
    assert prints[0] == prints[1] != prints[2]


def test_what_cannot_extract_is_told():
    with pytest.raises(InputError, match='MSELoss is no feature extractor'):
        shared_extractor(dict(type='torch.nn.MSELoss')).extract(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(InputError, match="config of a feature extractor.*got 'InceptionV3'"):
        shared_extractor('InceptionV3')
    assert shared_extractor(EXTRACTOR).kind == 'IntegerNetwork' and not shared_extractor(EXTRACTOR).is_reference
