import pytest
import torch

from mmcm.apis import ConsistencyModelInferencer
from mmcm.apis.resolve_model import sampler_config
from mmcm.apis.steps import sampler_from, sampler_with_steps
from mmcm.noise.schedules import karras_sigmas
from mmcm.registry import SAMPLERS
from mmcm.samplers import HeunSampler, MultistepSampler
from mmcm.utils.errors import InputError


def test_steps_lie_at_equal_distances_as_in_diffusers():
    draw = ConsistencyModelInferencer('cd_imagenet64_lpips', device='cpu')
    levels = karras_sigmas(40)
    assert draw.choose_sampler().sigmas == [80.0]
    assert draw.choose_sampler(num_steps=3).sigmas == pytest.approx(levels[[0, 13, 26]].tolist())
    assert draw.choose_sampler(timesteps=[22, 0]).sigmas == pytest.approx(levels[[0, 22]].tolist())
    assert draw.choose_sampler(sigmas=(80, 1.5)).sigmas == [80, 1.5]


@pytest.mark.parametrize('num_steps', [1, 2, 3, 40])
def test_steps_of_a_model_without_a_schedule_lie_at_equal_distances(num_steps):
    config = dict(type='MultistepSampler', indices=(0,))
    sigmas = sampler_with_steps(config, num_steps=num_steps).sigmas
    expected = karras_sigmas(1000 * num_steps)[torch.arange(num_steps) * 1000]
    assert sigmas == pytest.approx(expected.tolist())
    with pytest.raises(InputError, match='timesteps needs num_scales.*Or give num_steps or sigmas'):
        sampler_with_steps(config, timesteps=[3, 0])


def test_steps_of_a_diffusion_model():
    draw = ConsistencyModelInferencer('edm_imagenet64_ema', device='cpu')
    assert (draw.sampler.nfe, draw.choose_sampler(num_steps=18).nfe) == (79, 35)
    with pytest.raises(InputError, match='HeunSampler has no use for sigmas'):
        draw.choose_sampler(sigmas=(80, 1.5))


def test_drawing_may_begin_at_a_lower_level():
    consistency, diffusion = (
        ConsistencyModelInferencer(name, device='cpu').sampler_config
        for name in ('cd_imagenet64_lpips', 'edm_imagenet64_ema')
    )
    assert sampler_from(consistency, (5.0, 1.0)).sigmas == [5, 1]
    heun = sampler_from(diffusion, (5.0,), num_steps=4)
    assert heun.first_sigma == 5 and heun.nfe == 7
    with pytest.raises(InputError, match='give one sigma'):
        sampler_from(diffusion, (5.0, 1.0))
    with pytest.raises(InputError, match='give sigmas'):
        sampler_from(consistency, (5.0, 1.0), num_steps=2)


def test_sampler_of_a_user_needs_no_argument_sigmas():
    class Own(HeunSampler):
        def __init__(self, num_steps, sigma_max=80.0):
            super().__init__(num_steps=num_steps, sigma_max=sigma_max)

    SAMPLERS.register_module(module=Own)
    try:
        assert sampler_with_steps(dict(type='Own', num_steps=3), num_steps=5).num_steps == 5
        assert sampler_from(dict(type='Own', num_steps=3), [5.0]).first_sigma == 5
    finally:
        SAMPLERS.module_dict.pop('Own')


def test_steps_of_a_flow_map():
    config = dict(type='FlowMapSampler', times=(1.0, 0.4), stochastic=True)
    sampler = sampler_with_steps(config, num_steps=4)
    assert sampler.times == [1.0, 0.75, 0.5, 0.25] and sampler.stochastic
    assert isinstance(sampler_from(config, (5.0, 1.0)), MultistepSampler)
    for levels in (sampler_with_steps(config, sigmas=(80.0, 1.0)), sampler_from(config, (80.0, 1.0))):
        assert isinstance(levels, MultistepSampler)  # it samples as a consistency model
        assert levels.sigmas == [80.0, 1.0] and levels.sigma_min == 0
    with pytest.raises(InputError, match='FlowMapSampler has no use for timesteps'):
        sampler_with_steps(config, timesteps=(22, 0))


@pytest.mark.parametrize(
    'changes, expected',
    [
        (dict(num_steps=2), dict(num_steps=2)),
        (dict(times=(1.0, 0.4)), dict(times=(1.0, 0.4))),
        (dict(stochastic=True), dict(num_steps=1, stochastic=True)),
    ],
)
def test_changes_of_a_flow_maps_sampler_replace_its_steps(changes, expected):
    own = dict(type='FlowMapSampler', num_steps=1)
    assert sampler_config(own, 'x.pth', changes) == dict(type='FlowMapSampler', **expected)
    timed = dict(type='FlowMapSampler', times=(1.0, 0.5))
    assert ('times' in sampler_config(timed, 'x.pth', dict(num_steps=3))) is False
