"""Names of averages in training checkpoints."""

import pytest

from mmcm.checkpoints.formats.training_checkpoint import average_label, average_name, average_settings, named_average

NAMES = [  # decay, name, label
    (0.999, '0_999', '0.999'),
    (dict(sigma_rel=0.05), 'sigma_rel_0_05', 'sigma_rel=0.05'),
    (dict(sigma_rel=1e-05), 'sigma_rel_1e-05', 'sigma_rel=1e-05'),
    (dict(half_life=500_000), 'half_life_500000', 'half_life=500000'),
    (dict(half_life=500_000.0, ramp_up=None), 'half_life_500000', 'half_life=500000'),
    (dict(ramp_up=0.05, half_life=500_000), 'half_life_500000_ramp_up_0_05', 'half_life=500000,ramp_up=0.05'),
]


@pytest.mark.parametrize('decay, name, label', NAMES)
def test_average_has_one_name_and_is_found_by_its_label(decay, name, label):
    assert average_name(decay) == name and average_label(name) == label
    assert named_average(label) == name


@pytest.mark.parametrize('text', ['sigma_rel=0.050', 'sigma_rel=5e-2', 'sigma_rel_0_05'])
def test_number_may_be_written_in_any_way(text):
    assert named_average(text) == 'sigma_rel_0_05'


@pytest.mark.parametrize('text', ['online', 'ema_state', 'sigma_rel=', 'sigma_rel=large'])
def test_other_text_is_a_name(text):
    assert named_average(text) == text


def test_settings_are_those_of_the_name():
    assert average_settings('half_life_500000_ramp_up_0_05') == dict(half_life=500000, ramp_up=0.05)
    assert average_settings('0_999') == {}
