"""Losses and gradients against the reference programs, with the noises and levels that they drew."""
import pytest
import torch
from parity import Fixture, ReplayedNoise, toy_denoiser
from torch.testing import assert_close

from mmcm.objectives import EDM, Networks
from mmcm.registry import OBJECTIVES

WEIGHTINGS = {
    'snr': dict(type='SNRWeighting'),
    'snr+1': dict(type='SNRPlusOneWeighting'),
    'karras': dict(type='KarrasWeighting'),
    'truncated-snr': dict(type='TruncatedSNRWeighting'),
    'uniform': dict(type='UniformWeighting'),
}
CONSISTENCY = [f'{case}_n{num}' for num in (10, 40) for case in
               ('ct_l1', 'ct_l2', 'cd_l1', 'cd_l2', 'cd_l2_karras', 'ct_l1_truncated')]


def check_gradients(denoiser, fixture, case, scale=1.0):
    for letter in 'Wbu':
        expected = fixture(case, f'grad_{letter}') * scale
        gradient = getattr(denoiser.backbone, letter).grad
        assert_close(gradient, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize('weighting', WEIGHTINGS)
def test_diffusion_loss_is_the_references(monkeypatch, weighting):
    fixture = Fixture('losses')
    objective = EDM(weighting=WEIGHTINGS[weighting])
    objective.levels = lambda num: fixture('edm', 'sigmas')
    monkeypatch.setattr(torch, 'randn_like', ReplayedNoise([fixture('noise')]))
    online = toy_denoiser(fixture, 'model', boundary=False)
    result = objective(Networks(online), fixture('x_start'), None, 0)
    result['loss'].mean().backward()
    case = f'edm_{weighting}'
    assert_close(objective.weighting(fixture('edm', 'sigmas')), fixture(case, 'weights'), rtol=5e-6, atol=0)
    assert_close(result['loss'].detach(), fixture(case, 'loss'), rtol=5e-6, atol=0)
    assert_close(result['mse'], fixture(case, 'xs_mse'), rtol=5e-6, atol=0)
    check_gradients(online, fixture, case)


def test_diffusion_loss_is_edms(monkeypatch):
    fixture = Fixture('edm')
    monkeypatch.setattr(torch, 'randn', lambda num, device: fixture('loss', 'normal_draw'))
    monkeypatch.setattr(torch, 'randn_like', ReplayedNoise([fixture('loss', 'noise')]))
    online = toy_denoiser(fixture, 'model', boundary=False)
    loss = EDM()(Networks(online), fixture('loss', 'images'), None, 0)['loss']
    loss.mean().backward()
    assert_close(loss.detach(), fixture('loss', 'elementwise').flatten(1).mean(1), rtol=5e-6, atol=0)
    check_gradients(online, fixture, 'loss')


@pytest.mark.parametrize('case', CONSISTENCY)
def test_consistency_loss_is_the_references(monkeypatch, case):
    fixture = Fixture('losses')
    settings = fixture.meta['cases'][case]
    method, num_scales = case.split('_')[0], settings['num_scales']
    common = f'{method}_n{num_scales}'
    objective = OBJECTIVES.build(
        dict(type=dict(cd='ConsistencyDistillation', ct='ConsistencyTraining')[method],
             curriculum=dict(type='FixedCurriculum', num_scales=num_scales, target_decay=0.95),
             distance=dict(type=settings['loss_norm'].upper()),
             weighting=WEIGHTINGS[settings['weight_schedule']]))
    objective.levels = lambda sigmas, num: fixture(common, 'indices')
    monkeypatch.setattr(torch, 'randn_like', ReplayedNoise([fixture('noise')]))
    seen = []

    def target(x, sigma, labels):
        seen.append((x, sigma))
        return toy_denoiser(fixture, 'target', boundary=True)(x, sigma, labels)

    online, teacher = toy_denoiser(fixture, 'model', boundary=True), toy_denoiser(fixture, 'teacher', boundary=False)
    networks = Networks(online, target, teacher if method == 'cd' else None)
    loss = objective(networks, fixture('x_start'), None, 0)['loss']
    loss.mean().backward()
    (next_x, next_sigma), = seen
    assert_close(next_sigma, fixture(common, 't2'), rtol=1e-6, atol=0)
    assert_close(next_x, fixture(common, 'x_t2'), rtol=1e-6, atol=2e-5)
    assert_close(loss.detach(), fixture(case, 'loss'), rtol=5e-6, atol=0)
    check_gradients(online, fixture, case)
