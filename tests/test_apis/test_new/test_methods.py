import pytest

from mmcm.apis.new.methods import DEFAULT, DEFAULT_FROM, METHODS, STAGES, ict_settings, stages_of
from mmcm.zoo import root


def test_every_stage_has_a_base_and_every_method_stages_with_shares_of_the_time():
    assert {DEFAULT, DEFAULT_FROM} <= set(METHODS)
    for method in METHODS.values():
        assert set(method.stages) <= set(STAGES) and sum(method.shares) == pytest.approx(1)
        assert len(method.stages) == len(method.shares)
        assert [STAGES[stage].start is None for stage in method.stages] == [True] + [False] * (len(method.stages) - 1)
    for stage in STAGES.values():
        assert (root() / 'configs/_base_/objectives' / stage.objective).exists()


def test_tuning_takes_a_given_model_in_place_of_its_first_training():
    assert [stage for stage, _ in stages_of('ect', False)] == ['edm', 'ect']
    assert stages_of('ect', True) == [('ect', 1.0)]
    assert [stage for stage, _ in stages_of('edm+cd', True)] == ['edm', 'cd']


def test_scales_of_ict_are_the_published_ones_for_the_published_steps():
    assert ict_settings(400000, 3072) == dict(curriculum=dict(total_steps=400000))
    middle = ict_settings(100000, 3 * 64 * 64)  # c = 0.00054 sqrt(12288) = 0.06 is large enough
    assert middle == dict(curriculum=dict(start_scales=10, end_scales=512, total_steps=100000))  # 1280 / 2 = 640
    short = ict_settings(3600, 3072)  # 1280 sqrt(3600 / 400000) = 121
    assert short['curriculum'] == dict(start_scales=4, end_scales=64, total_steps=3600)
    assert short['distance'] == dict(type='PseudoHuber', factor=0.03)  # c would be 0.0299
