"""Losses and gradients against the reference programs, with the noises and levels that they drew."""

import math

import pytest
import torch
from torch.testing import assert_close

from mmcm.denoisers import KarrasDenoiser
from mmcm.distances import L2
from mmcm.objectives import (
    EDM,
    ConsistencyTraining,
    EasyConsistencyTuning,
    EulerStep,
    ImprovedConsistencyTraining,
    Networks,
    ProgressiveDistillation,
)
from mmcm.registry import OBJECTIVES
from support.parity import Fixture, RawDenoiser, ReplayedNoise, UncertainToyNetwork, toy_denoiser

WEIGHTINGS = {
    'snr': dict(type='SNRWeighting'),
    'snr+1': dict(type='SNRPlusOneWeighting'),
    'karras': dict(type='KarrasWeighting'),
    'truncated-snr': dict(type='TruncatedSNRWeighting'),
    'uniform': dict(type='UniformWeighting'),
}
CONSISTENCY = [
    f'{case}_n{num}'
    for num in (10, 40)
    for case in ('ct_l1', 'ct_l2', 'cd_l1', 'cd_l2', 'cd_l2_karras', 'ct_l1_truncated')
]
PROGRESSIVE = ['pd_l2_n1', 'pd_l2_n2'] + [
    f'{case}_n{num}' for num in (10, 40) for case in ('pd_l1', 'pd_l2', 'pd_l2_uniform')
]
TUNING = [
    'loss_sigmoid_q2_k8_b1_c0_stage0',
    'loss_sigmoid_q2_k8_b1_c0_stage3',
    'loss_sigmoid_q2_k8_b1_c0.06_stage3',
    'loss_sigmoid_q256_k8_b1_c0.06_stage0',
    'loss_const_q2_k8_b1_c0_stage2',
]


WEIGHTED = [
    'loss_sigmoid_q4_k8.0_b1.0_c0.06_stage0',
    'loss_sigmoid_q4_k8.0_b1.0_c0.06_stage2',
    'loss_sigmoid_q4_k8.0_b1.0_c0.0_stage3',
    'loss_const_q2_k8.0_b1.0_c0.03_stage1',
    'loss_sigmoid_q4_k6.0_b2.0_c0.06_stage1',
]


def check_gradients(denoiser, fixture, case, tolerance=1e-5):
    for letter in 'WbuE' if denoiser.backbone.E is not None else 'Wbu':
        expected = fixture(case, f'grad_{letter}')
        gradient = getattr(denoiser.backbone, letter).grad
        assert_close(gradient, expected, rtol=0, atol=tolerance * expected.abs().max().item())


class Recorder:
    """A function that remembers its calls: (arguments, result)."""

    def __init__(self, function):
        self.function = function
        self.calls = []

    def __call__(self, *arguments):
        result = self.function(*arguments)
        self.calls.append((arguments, result))
        return result


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
    monkeypatch.setattr(torch, 'randn', lambda num, **options: fixture('loss', 'normal_draw'))
    monkeypatch.setattr(torch, 'randn_like', ReplayedNoise([fixture('loss', 'noise')]))
    online = toy_denoiser(fixture, 'model', boundary=False)
    loss = EDM()(Networks(online), fixture('loss', 'images'), None, 0)['loss']
    loss.mean().backward()
    assert_close(loss.detach(), fixture('loss', 'elementwise').flatten(1).mean(1), rtol=5e-6, atol=0)
    check_gradients(online, fixture, 'loss')


@pytest.mark.parametrize('case', ['loss_-0.4_1.0', 'loss_-0.8_1.6'])
def test_diffusion_loss_with_uncertainty_is_edm2s(monkeypatch, case):
    fixture, letters = Fixture('edm2_loss'), ('W', 'b', 'u', 'E', 'la', 'lb')
    settings = fixture.meta['cases'][case]
    weights = {letter: fixture(f'model_{letter}') for letter in letters}
    online = KarrasDenoiser(
        dict(type=UncertainToyNetwork, **weights), settings['sigma_data'], boundary=False, c_noise='log(sigma) / 4'
    )
    assert online.has_log_variance
    monkeypatch.setattr(torch, 'randn', lambda num, **options: fixture(case, 'normal_sigma').flatten())
    monkeypatch.setattr(torch, 'randn_like', ReplayedNoise([fixture('noise_unit')]))
    levels = dict(type='LognormalLevels', mean=settings['P_mean'], std=settings['P_std'])
    objective = EDM(levels=levels, uncertainty=True)
    images, labels = fixture('images'), fixture('labels_onehot').argmax(1)
    result = objective(Networks(online), images, labels, 0)
    elementwise = fixture(case, 'elementwise').flatten(1)
    assert_close(result['sigma'], fixture(case, 'sigma'), rtol=1e-6, atol=0)
    assert_close(result['log_variance'], fixture(case, 'logvar'), rtol=5e-6, atol=1e-6)
    assert_close(result['loss'].detach(), elementwise.mean(1), rtol=5e-6, atol=2e-6)
    (result['loss'].mean() * elementwise.shape[1]).backward()  # EDM2 sums over the values of an image
    for letter in letters:
        expected = fixture(case, f'grad_{letter}')
        gradient = getattr(online.backbone, letter).grad[: len(expected)]  # E here has a row for the null class
        assert_close(gradient, expected, rtol=0, atol=2e-5 * expected.abs().max().item())


@pytest.mark.parametrize('case', CONSISTENCY)
def test_consistency_loss_is_the_references(monkeypatch, case):
    fixture = Fixture('losses')
    settings = fixture.meta['cases'][case]
    method, num_scales = case.split('_')[0], settings['num_scales']
    common = f'{method}_n{num_scales}'
    objective = OBJECTIVES.build(
        dict(
            type=dict(cd='ConsistencyDistillation', ct='ConsistencyTraining')[method],
            curriculum=dict(type='FixedCurriculum', num_scales=num_scales, target_decay=0.95),
            distance=dict(type=settings['loss_norm'].upper()),
            weighting=WEIGHTINGS[settings['weight_schedule']],
        )
    )
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
    ((next_x, next_sigma),) = seen
    assert_close(next_sigma, fixture(common, 't2'), rtol=1e-6, atol=0)
    assert_close(next_x, fixture(common, 'x_t2'), rtol=1e-6, atol=2e-5)
    assert_close(loss.detach(), fixture(case, 'loss'), rtol=5e-6, atol=0)
    check_gradients(online, fixture, case)


@pytest.mark.parametrize('case', PROGRESSIVE)
def test_progressive_distillation_is_the_references(monkeypatch, case):
    fixture = Fixture('losses')
    settings = fixture.meta['cases'][case]
    common, num_steps = f'pd_n{settings["num_scales"]}', settings['num_scales']
    objective = ProgressiveDistillation(
        dict(type='FixedCurriculum', num_scales=2, target_decay=1.0),
        dict(type=settings['loss_norm'].upper()),
        weighting=None if settings['weight_schedule'] == 'truncated-snr' else WEIGHTINGS[settings['weight_schedule']],
    )
    objective.curriculum = lambda step: (num_steps, 1.0)
    objective.solver, objective.distance = Recorder(EulerStep()), Recorder(objective.distance)
    monkeypatch.setattr(torch, 'randn_like', ReplayedNoise([fixture('noise')]))

    def randint(high, size, device):
        assert (high, size, device) == (settings['randint_high_exclusive'], (len(fixture('noise')),), 'cpu')
        return fixture(common, 'indices')

    monkeypatch.setattr(torch, 'randint', randint)
    online, teacher = (toy_denoiser(fixture, name, boundary=False) for name in ('model', 'teacher'))
    loss = objective(Networks(online, teacher=teacher), fixture('x_start'), None, 0)['loss']
    loss.mean().backward()
    (first, mid_x), (second, next_x) = objective.solver.calls
    for sigma, name in ((first[2], 't'), (first[3], 't2'), (second[2], 't2'), (second[3], 't3')):
        assert_close(sigma, fixture(common, name), rtol=1e-5, atol=0)  # theirs are computed in float32
    assert_close(first[1], fixture(common, 'x_t'), rtol=1e-6, atol=1e-5)
    # Rounding of values of up to 300 that cancel.
    assert_close(mid_x, fixture(common, 'x_t2'), rtol=1e-6, atol=5e-5)
    assert_close(next_x, fixture(common, 'x_t3'), rtol=1e-6, atol=5e-5)
    (((estimate, goal), _),) = objective.distance.calls
    assert_close(estimate.detach(), fixture(common, 'denoised_x'), rtol=0, atol=1e-5)
    # Theirs is 1.2e-4 away from the same formula in float64 at t = 80: the slope is extrapolated to level zero.
    error = (goal - fixture(common, 'target_x')).abs().amax((1, 2, 3))
    assert (error <= 1e-5 * (fixture(common, 't') / 4).clamp(min=1)).all()
    assert_close(loss.detach(), fixture(case, 'loss'), rtol=1e-5, atol=0)
    check_gradients(online, fixture, case)


def elementwise_pseudo_huber(a, b):
    """The distance of Kinyugo's package: the root is taken of each value, not of the whole image."""
    c = 0.00054 * math.sqrt(a[0].numel())
    return (((a - b).square() + c**2).sqrt() - c).flatten(1).mean(1)


@pytest.mark.parametrize('case', ['step_early', 'step_late'])
def test_improved_consistency_training_is_kinyugos(monkeypatch, case):
    fixture = Fixture('ict')
    num_scales = fixture(case, 'num_timesteps').item()
    objective = ImprovedConsistencyTraining(
        dict(type='DoublingCurriculum', start_scales=10, end_scales=1280, total_steps=400000)
    )
    objective.levels = lambda sigmas, num: num_scales - 2 - fixture(case, 'timesteps')  # his levels ascend
    objective.distance = Recorder(elementwise_pseudo_huber)
    monkeypatch.setattr(torch, 'randn_like', ReplayedNoise([fixture(case, 'noise')]))
    online = toy_denoiser(fixture, 'model', boundary=True, kind=RawDenoiser)
    log = objective(Networks(online), fixture('step', 'x'), None, fixture(case, 'k').item())
    log['loss'].mean().backward()
    assert log['num_scales'].item() == num_scales
    (((predicted, target), distance),) = objective.distance.calls
    assert_close(predicted.detach(), fixture(case, 'predicted'), rtol=1e-5, atol=1e-5)
    assert_close(target, fixture(case, 'target'), rtol=1e-5, atol=1e-5)
    assert_close((log['loss'] / distance).detach(), fixture(case, 'loss_weights'), rtol=5e-4, atol=0)
    assert_close(log['loss'].mean().detach(), fixture(case, 'mean_weighted_loss'), rtol=1e-4, atol=0)
    check_gradients(online, fixture, case, tolerance=1e-4)


def test_pair_of_consistency_training_is_kinyugos(monkeypatch):
    fixture = Fixture('ict')
    num_scales = fixture('ct_step', 'num_timesteps').item()
    objective = ConsistencyTraining(
        dict(type='FixedCurriculum', num_scales=num_scales, target_decay=0.9), dict(type='L2')
    )
    objective.levels = lambda sigmas, num: num_scales - 2 - fixture('ct_step', 'timesteps')
    objective.distance = Recorder(L2())
    monkeypatch.setattr(torch, 'randn_like', ReplayedNoise([fixture('ct_step', 'noise')]))
    networks = Networks(*(toy_denoiser(fixture, name, boundary=True, kind=RawDenoiser) for name in ('model', 'ema')))
    objective(networks, fixture('step', 'x'), None, 0)
    (((predicted, target), _),) = objective.distance.calls
    assert_close(predicted.detach(), fixture('ct_step', 'predicted'), rtol=1e-5, atol=1e-5)
    assert_close(target, fixture('ct_step', 'target'), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('case', TUNING)
def test_easy_consistency_tuning_is_the_references(monkeypatch, case):
    fixture = Fixture('ect')
    settings = fixture.meta['cases'][case]
    images = fixture('images')
    factor = settings['c'] / math.sqrt(images[0].numel())  # theirs is absolute
    objective = EasyConsistencyTuning(
        dict(type='ShrinkingCurriculum', stage_length=10, q=settings['q']),
        distance=dict(type='PseudoHuber', factor=factor) if factor else None,  # the default is the plain norm
        k=settings['k'] if settings['adj'] == 'sigmoid' else 0.0,
        b=settings['b'],
    )
    objective.distance = Recorder(objective.distance)
    normal_draw = fixture('t_normal_draw')
    monkeypatch.setattr(torch, 'randn', lambda num, **options: normal_draw)
    monkeypatch.setattr(torch, 'randn_like', ReplayedNoise([fixture('noise')]))
    online = Recorder(toy_denoiser(fixture, 'model', boundary=False))
    step = 10 * settings['stage'] + 9
    log = objective(Networks(online), images, None, step)
    log['loss'].mean().backward()
    t, r = fixture(case, 't'), fixture(case, 'r')
    (at_r, goal), (at_t, _) = online.calls  # the goal comes first
    assert_close(at_t[1], t, rtol=1e-6, atol=0)
    assert_close(objective.next_level(t, objective.curriculum(step).ratio), r, rtol=1e-6, atol=0)
    assert_close(at_r[1][r > 0], r[r > 0], rtol=1e-6, atol=0)
    (((estimate, used), _),) = objective.distance.calls
    assert_close(estimate[:2].detach(), fixture(case, 'D_yt'), rtol=0, atol=1e-5)
    clean = r == 0
    assert torch.equal(used[clean], images[clean]) and torch.equal(used[~clean], goal[~clean])
    measured = r[:2] > 0
    assert_close(goal[:2][measured], fixture(case, 'D_yr')[measured], rtol=0, atol=1e-5)
    assert_close(log['loss'].detach(), fixture(case, 'loss'), rtol=1e-5, atol=0)
    check_gradients(online.function, fixture, case, tolerance=2e-5)


@pytest.mark.parametrize('case', WEIGHTED)
def test_easy_consistency_tuning_with_the_weighting_of_imagenet_is_the_references(monkeypatch, case):
    fixture = Fixture('ect_imagenet')
    settings = fixture.meta['cases'][case]
    images, labels = fixture('images'), fixture('labels_onehot').argmax(1)
    objective = EasyConsistencyTuning(
        dict(type='ShrinkingCurriculum', stage_length=10, q=settings['q']),
        distance=dict(type='PseudoHuber', factor=settings['c'] / math.sqrt(images[0].numel())),
        k=settings['k'] if settings['adj'] == 'sigmoid' else 0.0,
        b=settings['b'],
        weighting=dict(type='KarrasWeighting'),
    )
    t, r = fixture(case, 't'), fixture(case, 'r')
    objective.levels = lambda num: t
    monkeypatch.setattr(torch, 'randn_like', ReplayedNoise([fixture('noise')]))
    online = Recorder(toy_denoiser(fixture, 'model', boundary=False))
    step = 10 * settings['stage']
    log = objective(Networks(online), images, labels, step)
    log['loss'].mean().backward()
    (_, goal), (_, estimate) = online.calls
    assert_close(objective.next_level(t, objective.curriculum(step).ratio), r, rtol=1e-6, atol=0)
    assert_close(objective.weights(t, r), fixture(case, 'weight'), rtol=5e-6, atol=0)
    assert_close(estimate.detach(), fixture(case, 'fx_t'), rtol=0, atol=1e-5)
    assert_close(goal[r > 0], fixture(case, 'fx_r')[r > 0], rtol=0, atol=1e-5)
    assert_close(log['loss'].detach(), fixture(case, 'loss'), rtol=1e-5, atol=0)
    check_gradients(online.function, fixture, case, tolerance=2e-5)
