"""Our sampler and our denoiser against diffusers' CMStochasticIterativeScheduler."""

import json

import numpy as np
import pytest
import torch

from mmcm.samplers import MultistepSampler
from mmcm.utils.errors import InputError
from support.diffusers_models import empty, model_config
from support.parity import FOLDER

MEASURED = json.loads((FOLDER / 'cm_scheduler.json').read_text())
SCHEDULES = pytest.mark.parametrize('num_scales', [40, 201, 151])


def assert_same_levels(sampler, case):
    """The levels are those of the case, without the sigma_min at its end, and so is what the network is told."""
    np.testing.assert_allclose(sampler.sigmas, case['sigmas'][:-1], rtol=1e-6)
    np.testing.assert_allclose(250 * np.log(sampler.sigmas), case['timesteps'], rtol=1e-9)


@SCHEDULES
def test_levels_by_number_of_steps(num_scales):
    cases = MEASURED['schedulers'][str(num_scales)]['by_num_inference_steps']
    assert list(cases) == ['1', '2', '4', '10']
    for steps, case in cases.items():
        indices = [step * (num_scales // int(steps)) for step in range(int(steps))]
        assert_same_levels(MultistepSampler(indices=indices, num_scales=num_scales), case)


@SCHEDULES
def test_levels_by_list(num_scales):
    """diffusers lists the indices downwards. Where the last level is among them, its step changes nothing."""
    last = num_scales - 1
    for case in MEASURED['schedulers'][str(num_scales)]['by_timesteps']:
        indices = case['argument'][::-1]
        if last not in indices:
            assert_same_levels(MultistepSampler(indices=indices, num_scales=num_scales), case)
            continue
        with pytest.raises(InputError, match=f'The last level, {last}, has no noise: leave it out'):
            MultistepSampler(indices=indices, num_scales=num_scales)
        sampler = MultistepSampler(indices=indices[:-1], num_scales=num_scales)
        assert_same_levels(sampler, dict(sigmas=case['sigmas'][:-1], timesteps=case['timesteps'][:-1]))


@pytest.mark.parametrize(
    'error, arguments',
    [
        ('timesteps=[0, 22]', dict(indices=(22, 0), num_scales=40)),
        ('timesteps=[22, 22]', dict(indices=(22, 22), num_scales=40)),
        ('timesteps=[40, 0]', dict(indices=(0, 40), num_scales=40)),
        ('neither', dict()),
        ('both', dict(indices=(0,), sigmas=(80.0,))),
    ],
)
def test_what_diffusers_refuses_is_refused(error, arguments):
    assert MEASURED['errors'][error]['type'] == 'ValueError'
    with pytest.raises(InputError):
        MultistepSampler(**arguments)


@pytest.mark.parametrize('boundary, name', [(True, 'boundary'), (False, 'edm')])
def test_scalings(boundary, name):
    measured = MEASURED['scalings']
    denoiser = empty(model_config(boundary=boundary)['denoiser'])
    c_skip, c_out, _ = denoiser.scalings(torch.tensor(measured['sigma']))
    np.testing.assert_allclose(c_skip, measured[f'{name}_c_skip'], rtol=1e-6)
    np.testing.assert_allclose(c_out, measured[f'{name}_c_out'], rtol=1e-6, atol=2e-7)
