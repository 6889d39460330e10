import re
from pathlib import Path

import pytest
import torch

from mmcm.apis.new.networks import NETWORKS, allowed, backbone_settings, build_on_meta, cost_of, halvings, table_lines
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError


@pytest.mark.parametrize(
    ('size', 'times'), [((8, 8), 1), ((16, 16), 1), ((28, 28), 2), ((32, 48), 2), ((64, 96), 3), ((256, 256), 5)]
)
def test_shorter_side_is_halved_down_to_eight(size, times):
    assert halvings(size) == times


@pytest.mark.parametrize(('size', 'near'), [((50, 50), '48'), ((100, 100), '96'), ((31, 33), '32x32')])
def test_size_that_cannot_be_halved_is_refused_with_the_nearest_one(size, near):
    with pytest.raises(InputError, match=f'--size {near}, for example'):
        halvings(size)


@pytest.mark.parametrize('network', NETWORKS, ids=lambda network: network.name)
@pytest.mark.parametrize('side', [8, 28])
def test_every_network_of_the_table_builds(network, side):
    settings = backbone_settings(network, (side, side), 3, None)
    built = build_on_meta(settings)
    assert built.base_channels == network.base_channels
    assert network.base_channels // settings['norm_groups'] >= 4  # EDM's least width of a group


def test_base_of_the_configs_has_the_settings_of_the_table():
    from mmengine.config import Config

    from mmcm.zoo import root

    base = Config.fromfile(root() / 'configs/_base_/models/adm_own-pictures.py').model.denoiser.backbone
    settings = backbone_settings(NETWORKS[0], (16, 16), 3, None)
    with torch.device('meta'):
        built = MODELS.build({**base, **settings})
    assert built.state_dict().keys() == build_on_meta(settings).state_dict().keys()


def test_non_square_network_has_both_sides_and_classes():
    settings = backbone_settings(NETWORKS[0], (64, 96), 1, 4)
    assert settings['image_size'] == (64, 96)
    assert settings['in_channels'] == settings['out_channels'] == 1 and settings['num_classes'] == 4


def test_operations_of_a_step_are_three_forward_passes_and_grow_with_the_area():
    settings = backbone_settings(NETWORKS[0], (16, 16), 3, None)
    settings['attention_resolutions'] = ()
    parameters, operations = cost_of(settings)
    assert parameters == sum(weights.numel() for weights in build_on_meta(settings).parameters())
    twice = cost_of({**settings, 'image_size': (16, 32)})
    assert twice[0] == parameters and 1.9 * operations < twice[1] < 2.1 * operations
    conv = 2 * 3 * 16 * 9 * 16 * 16  # multiplications and additions of the first convolution
    assert operations > 3 * conv


def test_larger_networks_need_more_images():
    assert [network.name for network in allowed(30)] == ['tiny', 'small']
    assert list(allowed(10**6)) == list(NETWORKS)


def test_page_shows_the_table():
    page = (Path(__file__).parents[3] / 'docs/own_pictures.md').read_text()
    table = re.search('<!-- networks begin -->\n(.*)\n<!-- networks end -->', page, re.DOTALL)[1]
    assert table.splitlines() == table_lines()
