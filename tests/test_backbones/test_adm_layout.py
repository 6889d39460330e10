import pytest
import torch

from mmcm.backbones.adm_layout import ADMLayout
from mmcm.registry import MODELS
from support.parity import adm_config, manifest

SETTINGS = [
    dict(channel_mult=(1,), num_res_blocks=1),
    dict(channel_mult=(1, 2), num_res_blocks=0),
    dict(channel_mult=(1, 2, 2), num_res_blocks=2, resblock_updown=True),
    dict(channel_mult=(1, 2, 2), num_res_blocks=2, resblock_updown=False, attention_resolutions=(16, 4)),
    dict(channel_mult=(1, 1, 2, 2), num_res_blocks=3, resblock_updown=True, attention_resolutions=(8, 2)),
]


def keys(**settings):
    with torch.device('meta'):
        return list(
            MODELS.build(
                dict(
                    type='ADMUNet', image_size=16, base_channels=32, **dict(dict(attention_resolutions=()), **settings)
                )
            ).state_dict()
        )


@pytest.mark.parametrize('settings', SETTINGS)
def test_layout_follows_from_the_keys(settings):
    names = keys(**settings)
    layout = ADMLayout.of(names)
    assert layout.num_levels == len(settings['channel_mult'])
    by_place = layout.by_place()
    assert sorted(by_place.values()) == sorted(names)  # each place is that of one weight
    levels = {level for level, _ in layout.places.values()}
    assert levels - {None} == (set(range(layout.num_levels)) if settings['num_res_blocks'] else levels - {None})
    down = {place[2] for level, place in layout.places.values() if place[0] == 'down' and place[1] == 'res'}
    assert down == {str(index) for index in range(settings['num_res_blocks'])}
    up = {place[2] for level, place in layout.places.values() if place[0] == 'up' and place[1] == 'res'}
    assert len(up) == settings['num_res_blocks'] + 1
    resampled = {level for level, place in layout.places.values() if place[:2] == ('up', 'resample')}
    assert resampled == set(range(layout.num_levels - 1))  # from the coarsest to the finest but one
    resampled = {level for level, place in layout.places.values() if place[:2] == ('down', 'resample')}
    assert resampled == set(range(1, layout.num_levels))
    attention = {
        16 >> (layout.num_levels - 1 - level) for level, place in layout.places.values() if 'attention' in place
    }
    assert attention == set(settings.get('attention_resolutions', ()))


@pytest.mark.parametrize('name', ['imagenet64', 'lsun256'])
def test_layout_of_the_released_networks(name):
    expected, content = manifest(name)
    layout = ADMLayout.of(expected)
    assert layout.num_levels == len(adm_config(content['unet_model_args'])['channel_mult'])
    assert len(layout.by_place()) == len(expected)


def test_keys_of_another_network_have_no_layout():
    assert ADMLayout.of(['down_blocks.0.resnets.0.conv1.weight']) is None
    assert ADMLayout.of([]) is None
    assert ADMLayout.of([f'output_blocks.{"9" * 5000}.0.in_layers.0.weight']) is None
    names = keys(**SETTINGS[2])
    assert ADMLayout.of([name for name in names if not name.startswith('input_blocks.2.')]) is None
