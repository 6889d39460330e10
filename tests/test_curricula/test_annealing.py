import pytest

from mmcm.curricula import AnnealingCurriculum
from mmcm.utils.errors import InputError


@pytest.mark.parametrize('shape, middle', [('linear', 0.105), ('cosine', 0.105), ('exponential', (0.2 * 0.01) ** 0.5)])
def test_ratio_goes_from_start_to_end_and_stays(shape, middle):
    curriculum = AnnealingCurriculum(100, start_ratio=0.2, end_ratio=0.01, shape=shape)
    ratios = [curriculum(step).ratio for step in (0, 50, 100, 200)]
    assert ratios == pytest.approx([0.2, middle, 0.01, 0.01])


@pytest.mark.parametrize(
    'options, match',
    [
        (dict(total_steps=0), 'total_steps'),
        (dict(total_steps=10, start_ratio=0.0), 'start_ratio'),
        (dict(total_steps=10, end_ratio=1.5), 'end_ratio'),
        (dict(total_steps=10, shape='constant'), 'shape'),
    ],
)
def test_settings_that_cannot_be_are_refused(options, match):
    with pytest.raises(InputError, match=match):
        AnnealingCurriculum(**options)
