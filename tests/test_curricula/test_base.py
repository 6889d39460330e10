import pytest

from mmcm.curricula import FixedCurriculum, ShrinkingCurriculum, Stage
from mmcm.curricula.base import ratio_at, scales_at
from mmcm.utils.errors import InputError


@pytest.mark.parametrize(
    'curriculum', [FixedCurriculum(18, 0.9), ShrinkingCurriculum(stage_length=10)], ids=lambda each: type(each).__name__
)
def test_every_curriculum_returns_a_stage(curriculum):
    assert type(curriculum(3)) is Stage


def test_curriculum_of_a_user_may_return_a_plain_tuple():
    assert scales_at(lambda step: (step, 0.5), 7) == (7, 0.5)


def test_curriculum_of_a_user_may_return_a_plain_ratio():
    assert ratio_at(lambda step: 1 / step, 4) == 0.25


def test_numbers_that_a_curriculum_does_not_have_are_named():
    assert ratio_at(ShrinkingCurriculum(stage_length=10), 0) == 0.5
    with pytest.raises(InputError, match='FixedCurriculum has no ratio'):
        ratio_at(FixedCurriculum(18, 0.9), 0)
    with pytest.raises(InputError, match='ShrinkingCurriculum has no number of scales'):
        scales_at(ShrinkingCurriculum(stage_length=10), 0)
