import pytest

from mmcm.curricula import FixedCurriculum
from mmcm.utils.errors import InputError
from support.parity import Fixture


def test_numbers_are_the_references():
    fixture = Fixture('curricula')
    options = fixture.meta['fixed_fixed']
    curriculum = FixedCurriculum(options['start_scales'], options['start_ema'])
    steps, scales, decays = (fixture('fixed_fixed', name).tolist() for name in ('step', 'scales', 'target_ema'))
    assert [curriculum(step)[:2] for step in steps] == list(zip(scales, decays))


@pytest.mark.parametrize('num_scales, decay', [(1, 0.5), (0, 0.5), (2, -0.1), (2, 1.1), (2, float('nan'))])
def test_numbers_that_cannot_be_are_refused(num_scales, decay):
    with pytest.raises(InputError):
        FixedCurriculum(num_scales, decay)
