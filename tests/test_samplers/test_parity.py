"""Each sampler against the reference program, driven by the noises that the reference drew."""

import pytest
import torch

from mmcm.registry import SAMPLERS
from support.parity import Fixture, ReplayedNoise, close, gaussian_denoiser, level_ulps


def cases(name):
    return [(name, case) for case in Fixture(f'sampler_{name}').meta['cases']]


def sampler_config(name, arguments):
    """Translate the reference's sampling options into a config."""
    config = {key: arguments[key] for key in ('sigma_min', 'sigma_max', 'rho') if key in arguments}
    if name in ('onestep', 'multistep'):
        if 'diffusion_rho' in arguments:
            config['rho'] = arguments['diffusion_rho']  # the reference's multistep uses its model's rho
        *indices, end = arguments.get('ts', [0, arguments['steps'] - 1])
        config.update(type='MultistepSampler', indices=indices, num_scales=arguments['steps'])
        return config, end
    types = dict(
        heun='HeunSampler',
        dpm='DPM2Sampler',
        ancestral='EulerAncestralSampler',
        euler='EulerSampler',
        progdist='ProgressiveDistillationSampler',
    )
    config.update({key: arguments[key] for key in ('s_churn', 's_tmin', 's_tmax', 's_noise') if key in arguments})
    return dict(config, type=types[name], num_steps=arguments['steps']), None


@pytest.mark.parametrize(
    'name, case',
    [
        pair
        for name in ('heun', 'dpm', 'ancestral', 'euler', 'progdist', 'onestep', 'multistep')
        for pair in cases(name)
    ],
)
def test_agrees_with_the_reference(name, case):
    fixture = Fixture(f'sampler_{name}')
    settings = fixture.meta['cases'][case]
    arguments = settings['sampler_arguments']
    config, end = sampler_config(name, arguments)
    if end is not None and end < arguments['steps'] - 1:
        config['sigma_end'] = fixture(case, 'step_next_t')[-1].item()
    sampler = SAMPLERS.build(config)
    top, seen = (config.get('sigma_max', 80.0), config.get('rho', 7.0)), []

    def denoise(x, sigma):
        seen.append((x, sigma))
        x0 = gaussian_denoiser(x, sigma)
        return x0.clamp(-1, 1) if arguments.get('clip_denoised', True) else x0

    result = sampler(denoise, fixture(case, 'initial_noise'), ReplayedNoise(fixture(case, 'noises')))
    assert len(seen) == settings['network_calls'] == sampler.nfe
    expected = zip(fixture(case, 'denoiser_x'), fixture(case, 'denoiser_sigma'))
    for (x, sigma), (expected_x, expected_sigma) in zip(seen, expected):
        # Both programs compute the levels in single precision. Raising them (churn), or the mean of two cube roots (the
        # middle of DPM-Solver-2) and its cube, add at most 4 roundings.
        close(sigma, expected_sigma, 2 * (level_ulps(expected_sigma, *top) + 4))
        # where terms of the size of sigma cancel, their rounding remains
        torch.testing.assert_close(x, expected_x, rtol=1e-5, atol=max(1e-5, 1e-6 * expected_sigma[0].item()))
    torch.testing.assert_close(result, fixture(case, 'before_clamp'), rtol=0, atol=1e-5)
    torch.testing.assert_close(result.clamp(-1, 1), fixture(case, 'output'), rtol=0, atol=1e-5)


@pytest.mark.parametrize('case', ['plain', 'churn'])
def test_heun_agrees_with_edm_in_double_precision(case):
    fixture = Fixture('edm')
    names = dict(S_churn='s_churn', S_min='s_tmin', S_max='s_tmax', S_noise='s_noise')
    options = fixture.meta['cases'][case]
    sampler = SAMPLERS.build(
        dict(
            type='HeunSampler',
            num_steps=options['num_steps'],
            **{ours: options[theirs] for theirs, ours in names.items() if theirs in options},
        )
    )
    case = f'sampler_{case}'
    result = sampler(
        gaussian_denoiser, fixture(case, 'latents').double(), ReplayedNoise(fixture(case, 'noises_float64'))
    )
    torch.testing.assert_close(result, fixture(case, 'output_float64'), rtol=0, atol=1e-12)
