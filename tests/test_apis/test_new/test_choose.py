import pytest

from mmcm.apis.new.choose import (
    Data,
    Start,
    augments,
    choose_network,
    ema_decay,
    first_batch,
    network_from,
    step_operations,
)
from mmcm.apis.new.networks import NETWORKS
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from mmcm.zoo import list_models


def data(number=3000, size=(32, 32), channels=3, classes=()):
    return Data(dict(type='ImagePack', data_file='x.npz'), number, size, channels, classes)


def test_batch_is_a_power_of_two_that_the_images_fill():
    assert [first_batch(number, False) for number in (2, 27, 33, 10**6)] == [2, 16, 32, 32]
    assert first_batch(10**6, True) == 128
    with pytest.raises(InputError, match='at least 2'):
        first_batch(1, False)


def test_half_life_of_the_average_is_a_twentieth_of_the_training():
    assert ema_decay(2000) ** 100 == pytest.approx(0.5, rel=0.01)
    assert ema_decay(10**7) == 0.9999 and 0 < ema_decay(1) < 1


def test_held_out_images_are_a_twentieth_up_to_a_number():
    assert data(1000).held_out == 0.05 and data(100000).held_out == 0.005 and data(399).held_out == 0
    assert data(1000).num_training == 900 and data(30).num_training == 30


def test_images_that_are_seen_often_are_augmented():
    assert augments(100, 1000, 16) and not augments(100, 100, 16)


def test_network_grows_with_time_and_images():
    tiny, small, medium = NETWORKS[:3]
    needed = [5000 * 32 * step_operations(network, data()) for network in (tiny, small, medium)]
    assert choose_network(data(), 1.0, 32, needed[1] * 0.99) == tiny
    assert choose_network(data(), 1.0, 32, needed[1] * 1.01) == small
    assert choose_network(data(), 1.0, 32, needed[2] * 1.01) == medium
    assert choose_network(data(30), 1.0, 32, needed[2] * 1.01) == small
    assert choose_network(data(), 1.0, 32, 0.0) == tiny


def zoo_start(name):
    from mmcm.config import released_config

    (model,) = (model for model in list_models() if model.name == name)
    return Start(name, released_config(model).model.denoiser.to_dict())


def test_network_to_start_from_keeps_its_layers_for_another_size_and_classes():
    start = zoo_start('cd_cat256_l2')
    settings = network_from(start, data(size=(64, 96), classes=('a', 'b')))
    backbone = settings['backbone']
    assert backbone['image_size'] == (64, 96) and backbone['attention_resolutions'] == (8, 4, 2)
    assert backbone['num_classes'] == 2 and 'boundary' not in settings


def test_grey_network_to_start_from_has_the_layers_of_the_coloured_one():
    import torch

    start = zoo_start('photo_patches')
    settings = network_from(start, data(size=(64, 64), channels=1))['backbone']
    with torch.device('meta'):
        old = MODELS.build(start.denoiser['backbone']).state_dict()
        new = MODELS.build(dict(type='ADMUNet', **settings)).state_dict()
    assert old.keys() == new.keys()
    assert {key for key in old if old[key].shape != new[key].shape} == {
        'input_blocks.0.0.weight',
        'out.2.weight',
        'out.2.bias',
    }


def test_other_network_to_start_from_is_refused():
    with pytest.raises(InputError, match='Name a model with an ADMUNet'):
        network_from(Start('x', dict(type='TrigFlowDenoiser', backbone=dict(type='ADMUNet'))), data())
