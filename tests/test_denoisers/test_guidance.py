import math

import pytest
import torch

from mmcm.denoisers import FlowMapDenoiser, KarrasDenoiser
from mmcm.denoisers.guidance import Guidance
from mmcm.utils.errors import InputError
from support.digits import BACKBONE

SIGMAS = torch.tensor([0.5, 1.0, 3.0, math.inf])


def flow_map(**settings):
    return FlowMapDenoiser(dict(BACKBONE, num_conditions=4), guided=True, guidance=3.0, **settings)


@pytest.mark.parametrize('scale', [-0.1, math.inf, math.nan, 'much', True])
def test_scale_has_to_be_a_number_from_0_on(scale):
    with pytest.raises(InputError, match='guidance'):
        Guidance(scale)


@pytest.mark.parametrize('interval', [(1.0,), (2.0, 1.0), (1.0, 1.0), (-1.0, 2.0), 3.0, ('a', 'b'), (0.0, math.nan)])
def test_interval_has_to_be_two_levels(interval):
    with pytest.raises(InputError, match='two noise levels'):
        Guidance(2.0, interval)


def test_network_of_one_scale_gets_1_outside_the_interval():
    denoiser = KarrasDenoiser(dict(BACKBONE, num_conditions=1), guided=True, guidance=2.5)
    assert denoiser.own_guidance == Guidance(2.5)
    assert denoiser.guidance_inputs(SIGMAS, Guidance(2.0, (0.5, 3.0))).tolist() == [1.0, 2.0, 2.0, 1.0]
    assert denoiser.guidance_inputs(SIGMAS, Guidance(2.0)).tolist() == [2.0] * 4


@pytest.mark.parametrize('noise_scale', [1.0, 2.0])
def test_flow_map_gets_scale_and_interval_whatever_the_level(noise_scale):
    denoiser = flow_map(noise_scale=noise_scale)
    scale, low, high = denoiser.guidance_inputs(SIGMAS, Guidance(2.0, (noise_scale, 3 * noise_scale)))
    assert scale.tolist() == [2.0] * 4 and low.tolist() == [0.5] * 4 and high.tolist() == [0.75] * 4  # s t / (1 - t)
    everywhere = denoiser.guidance_inputs(SIGMAS, Guidance(2.0))
    assert [each.tolist() for each in everywhere] == [[2.0] * 4, [0.0] * 4, [1.0] * 4]
    assert denoiser.guidance_inputs(SIGMAS, Guidance(2.0, (0.0, math.inf))).high.tolist() == [1.0] * 4


def test_own_interval_of_a_flow_map_is_in_noise_levels():
    assert flow_map().own_guidance == Guidance(3.0)
    assert flow_map(guidance_interval=(0.5, 0.75), noise_scale=2.0).own_guidance == Guidance(3.0, (2.0, 6.0))
    assert flow_map(guidance_interval=(0.5, 0.5)).own_guidance == Guidance(3.0, (1.0, math.nextafter(1.0, 2.0)))
