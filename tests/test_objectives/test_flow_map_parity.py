"""Losses and gradients of flow maps are those of the reference programs."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from mmcm.curricula import AnnealingCurriculum
from mmcm.denoisers import FlowMapDenoiser, GuidanceInputs
from mmcm.noise.time_distributions import LogitNormalTimes
from mmcm.objectives import ImprovedMeanFlow, MeanFlow, Networks, PixelMeanFlow, Shortcut, SolutionFlow
from mmcm.objectives.flow_map import Batch
from mmcm.samplers import FlowMapSampler
from support.flow_maps import spread, two_times
from support.parity import Fixture, ReplayedNoise

PY, ZHUYU, CIFAR, FASTGEN = map(Fixture, ('meanflow_py', 'meanflow_zhuyu', 'meanflow_zhuyu_cifar', 'fastgen_meanflow'))
IMF, PMF, SOFLOW, SHORTCUT = map(Fixture, ('imf_loss', 'pmf_loss', 'soflow', 'shortcut'))
RTOL = 2e-5  # of the measurements, in float32


def assert_near(actual, expected, rtol=RTOL):
    """Compare to `rtol` of the largest entry."""
    assert_close(actual.detach().double(), expected.double(), rtol=0, atol=rtol * expected.abs().max().item())


def evaluate(
    monkeypatch, objective, denoiser, fixture, case, labels=None, times=None, more=None, step=0, dtype=None, noise=None
):
    """Return what the objective returns for the images, times and noise of a case."""
    t, r = (fixture(case, 't'), fixture(case, 'r')) if times is None else times
    columns = [t, r, *(more or ())]
    objective.draw = lambda num: torch.stack(columns, dim=1)
    if noise is None:
        noise = fixture('noise') if 'noise' in fixture else fixture(case, 'noise')
    monkeypatch.setattr(torch, 'randn_like', ReplayedNoise([noise]))
    images = fixture('images')
    if dtype is not None:
        images, denoiser = images.to(dtype), denoiser.to(dtype)
    return objective(Networks(denoiser), images, labels, step)


def assert_gradients(denoiser, loss, fixture, case, rtol=RTOL, names=None):
    parameters = dict(denoiser.backbone.named_parameters())
    names = list(parameters) if names is None else names
    gradients = torch.autograd.grad(loss, [parameters[name] for name in names], allow_unused=True)
    largest = max(fixture(case, f'grad_{name}').abs().max() for name in names)
    for name, gradient in zip(names, gradients):
        expected = fixture(case, f'grad_{name}')
        gradient = torch.zeros_like(expected) if gradient is None else gradient
        # Small gradients are sums of large ones that cancel.
        assert_close(gradient.double(), expected.double(), rtol=0, atol=rtol * float(largest), msg=name)


@pytest.mark.parametrize('case', ['paper_v0', 'v1', 'p05', 'p0_all_r_differs', 'p1'])
def test_mean_flow_is_that_of_the_authors_second_program(monkeypatch, case):
    options = PY.meta['cases'][case]
    objective = MeanFlow(power=options['norm_p'], offset=options['norm_eps'])
    denoiser = two_times(PY)
    log = evaluate(monkeypatch, objective, denoiser, PY, case)
    assert_close(log['loss'].mean(), PY(case, 'loss_mean'), rtol=RTOL, atol=0)
    denominator = (log['error'] + options['norm_eps']) ** options['norm_p']
    assert_close(denominator, PY(case, 'adaptive_denominator'), rtol=RTOL, atol=0)
    assert_gradients(denoiser, log['loss'].mean(), PY, case)


@pytest.mark.parametrize('case', ['adaptive_p075', 'adaptive_p1', 'uniform'])
def test_mean_flow_without_labels_is_that_of_another_program(monkeypatch, case):
    options = CIFAR.meta['cases'][case]
    objective = MeanFlow(power=options['adaptive_p'] if options['weighting'] == 'adaptive' else 0.0)
    denoiser = two_times(CIFAR)
    log = evaluate(monkeypatch, objective, denoiser, CIFAR, case)
    assert_close(log['loss'], CIFAR(case, 'loss'), rtol=RTOL, atol=0)
    assert_gradients(denoiser, log['loss'].mean(), CIFAR, case)


GUIDED = ['label_nocfg', 'cfg_omega', 'cfg_omega_kappa', 'cfg_interval', 'nolabel_adaptive', 'nolabel_uniform']


@pytest.mark.parametrize('case', GUIDED)
def test_guided_mean_flow_is_that_of_another_program(monkeypatch, case):
    """Its adaptive weight is of the squared error squared, so error and weight are compared apart."""
    options = ZHUYU.meta['cases'][case]
    objective = MeanFlow(
        power=0.0,
        guidance=options.get('cfg_omega', 1.0),
        mixture=options.get('cfg_kappa', 0.0),
        guidance_interval=(options.get('cfg_min_t', 0.0), options.get('cfg_max_t', 1.0)),
    )
    denoiser = two_times(ZHUYU, classes=options['labels'])
    labels = ZHUYU(case, 'labels_used') if options['labels'] else None
    log = evaluate(monkeypatch, objective, denoiser, ZHUYU, case, labels)
    if options['weighting'] == 'uniform':
        loss = log['loss']
    else:
        weights = 1 / (log['error'] ** 2 + 1e-3) ** options['adaptive_p']
        assert_close(weights, ZHUYU(case, 'weights'), rtol=2 * RTOL, atol=0)
        loss = weights * log['loss'] ** 2
    assert_close(loss, ZHUYU(case, 'loss'), rtol=2 * RTOL, atol=0)
    assert_gradients(denoiser, loss.mean(), ZHUYU, case, rtol=2 * RTOL)


FASTGEN_CASES = ['l2', 'l2_p075', 'guidance', 'guidance_interval', 'guidance_mixture', 'finite_difference']


@pytest.mark.parametrize('case', FASTGEN_CASES)
def test_mean_flow_is_fastgens(monkeypatch, case):
    options = FASTGEN.meta['cases'][case]
    scale, mixture = options['guidance_scale'], options['guidance_mixture_ratio']
    differences = dict(type='FiniteDifferenceTangent', step=options['jvp_finite_diff_eps'])
    objective = MeanFlow(
        power=float(options['norm_method'].removeprefix('poly_')),
        offset=options['norm_const'],
        guidance=1.0 if scale is None else scale,
        mixture=0.0 if mixture is None else mixture,
        guidance_interval=(options['guidance_t_start'], options['guidance_t_end']),
        tangent=differences if options['use_jvp_finite_diff'] else None,
    )
    denoiser = two_times(FASTGEN, classes=True)
    labels = FASTGEN('labels')
    if scale is not None:
        dropped = (FASTGEN(case, 'uniform_dropout') < options['cond_dropout_prob']).sum()  # the first ones
        labels = torch.where(torch.arange(len(labels)) < dropped, len(denoiser.backbone.E) - 1, labels)
    log = evaluate(monkeypatch, objective, denoiser, FASTGEN, case, labels, dtype=torch.float64)
    rtol = 2e-3 if options['use_jvp_finite_diff'] else RTOL
    assert_close(log['loss'], FASTGEN(case, 'loss'), rtol=rtol, atol=0)
    assert_gradients(denoiser, log['loss'].mean(), FASTGEN, case, rtol)


class Guided(nn.Module):
    """The toy network of iMF: scale and interval of guidance are inputs, and it has a velocity head.

    s0 = sin(V x + h s + (1 - 1 / w) g) + b + t p + t_min k + t_max m + E[y]; u = s0 + W x; v = sin(s0) + W2 x + b2.
    """

    def __init__(self, fixture):
        super().__init__()
        for name in ('W', 'V', 'b', 'p', 's', 'g', 'k', 'm', 'E', 'W2', 'b2'):
            setattr(self, name, nn.Parameter(fixture(f'model_{name}').clone()))
        self.null_label = len(self.E) - 1

    def forward(self, x, t, labels, conditions):
        h, guidance, low, high = conditions.unbind(1)
        W, V, W2 = (weight[:, :, None, None] for weight in (self.W, self.V, self.W2))
        inner = F.conv2d(x, V) + spread(h[:, None] * self.s + guidance[:, None] * self.g)
        outer = self.b + t[:, None] * self.p + low[:, None] * self.k + high[:, None] * self.m + self.E[labels]
        shared = inner.sin() + spread(outer)
        return torch.cat([shared + F.conv2d(x, W), shared.sin() + F.conv2d(x, W2, self.b2)], dim=1)


@pytest.mark.parametrize('case', ['default', 'beta2_p05', 'noguide_fm', 'dropout'])
def test_improved_mean_flow_is_the_authors(monkeypatch, case):
    """Where a label is dropped, the program's derivative follows the velocity for the label, and ours for no label."""
    options = {**dict(norm_p=1.0, norm_eps=0.01, cfg_beta=1.0), **IMF.meta['cases'][case]}
    objective = ImprovedMeanFlow(
        power=options['norm_p'], offset=options['norm_eps'], guidance_power=options['cfg_beta']
    )
    denoiser = FlowMapDenoiser(dict(type=Guided, fixture=IMF), guided=True, velocity_head=True)
    monkeypatch.setattr(objective, 'guidance_of', lambda batch: GuidanceInputs(*batch.more.unbind(1)))
    more = [IMF(case, name) for name in ('omega', 't_min', 't_max')]
    labels = IMF(case, 'labels_used').long()
    log = evaluate(monkeypatch, objective, denoiser, IMF, case, labels, more=more)
    same = (labels == IMF('labels')) | IMF(case, 'fm_mask')  # where r = t, the derivative has no effect
    both = IMF(case, 'loss_u_per_sample') + IMF(case, 'loss_v_per_sample')
    assert same.sum() >= 5
    assert_close(log['loss'][same], both[same], rtol=5e-5, atol=0)
    if same.all():
        assert_gradients(denoiser, log['loss'].mean(), IMF, case, rtol=5e-5)


class Predicting(Guided):
    """The toy network as one that returns images, from which the denoiser makes the velocities of the toy network."""

    def forward(self, x, t, labels, conditions):
        velocities = super().forward(x, t, labels, conditions)
        return torch.cat([x, x], dim=1) - spread(t.clamp(min=0.05)[:, None]) * velocities


@pytest.mark.parametrize('case', ['default', 'beta2_p05', 'noguide_fm', 'dropout', 'noise2', 'tr_uniform'])
def test_pixel_mean_flow_is_the_authors(monkeypatch, case):
    """Where a label is dropped, the program's derivative follows the velocity for the label, and ours for no label."""
    options = {**dict(norm_p=1.0, norm_eps=0.01, cfg_beta=1.0, noise_scale=1.0), **PMF.meta['cases'][case]}
    objective = PixelMeanFlow(power=options['norm_p'], offset=options['norm_eps'], guidance_power=options['cfg_beta'])
    denoiser = FlowMapDenoiser(
        dict(type=Predicting, fixture=PMF),
        guided=True, velocity_head=True, prediction='x', noise_scale=options['noise_scale'],
    )  # fmt: skip
    monkeypatch.setattr(objective, 'guidance_of', lambda batch: GuidanceInputs(*batch.more.unbind(1)))
    more = [PMF(case, name) for name in ('omega', 't_min', 't_max')]
    labels = PMF(case, 'labels_used').long()
    noise = PMF(case, 'noise') / options['noise_scale']  # which is part of the stored draw
    log = evaluate(monkeypatch, objective, denoiser, PMF, case, labels, more=more, noise=noise, dtype=torch.float64)
    same = (labels == PMF('labels')) | PMF(case, 'fm_mask')
    both = PMF(case, 'loss_u_per_sample') + PMF(case, 'loss_v_per_sample')
    assert same.sum() >= 5
    assert_close(log['loss'][same], both[same].double(), rtol=5e-5, atol=0)
    # The losses are nearly 1 by their weights: the errors of the measured velocities tell more.
    target, t_minus_r = PMF(case, 'v_g').double(), (PMF(case, 't') - PMF(case, 'r')).double()
    compound = PMF(case, 'u').double() + spread(t_minus_r[:, None]) * PMF(case, 'du_dt').double()
    error = (compound - target).square().flatten(1).sum(1)
    assert_close(log['error'][same], error[same], rtol=5e-5, atol=0)
    head_error = (PMF(case, 'v').double() - target).square().flatten(1).sum(1)
    assert_close(log['head_error'], head_error, rtol=5e-5, atol=0)
    if same.all():
        assert_gradients(denoiser, log['loss'].mean(), PMF, case, rtol=5e-5)


@pytest.mark.parametrize('case', ['default', 'tr_uniform'])
def test_times_of_pixel_mean_flow_are_the_authors_of_the_same_draws(case, monkeypatch):
    """The images with r = t, its first ones, have the first draw; the others have both draws, the later one first."""
    options = PMF.meta['cases'][case]
    times = LogitNormalTimes(
        mean=options.get('P_mean', -0.4), std=1.0, equal='first', uniform_ratio=0.1 * options.get('tr_uniform', False)
    )
    equal = torch.where(PMF(case, 'fm_mask'), 0.0, 1.0)
    normal = torch.stack([PMF(case, 'draw_0'), PMF(case, 'draw_1')], dim=1)
    uniform = [torch.stack([PMF(case, f'draw_{index}') for index in (2, 3, 4)])] if 'tr_uniform' in options else []
    draws = iter([*uniform, equal])
    monkeypatch.setattr(torch, 'randn', lambda *shape, **settings: normal)
    monkeypatch.setattr(torch, 'rand', lambda *shape, **settings: next(draws))
    found = times(6)
    assert_close(found[:, 0], PMF(case, 't'), rtol=1e-6, atol=1e-7)
    assert_close(found[:, 1], PMF(case, 'r'), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize('power', [0.5, 1.0, 2.0])
def test_scales_of_guidance_are_the_authors(power):
    case = f'cfg_scale_beta{power}'
    objective = ImprovedMeanFlow(max_guidance=IMF.meta['cases'][case]['s_max'], guidance_power=power)
    assert_close(objective.scales(IMF(case, 'uniform')), IMF(case, 'omega'), rtol=5e-6, atol=0)


def test_inputs_of_guidance_are_the_authors_of_the_same_draws():
    """The ends of the interval are uniform on [0, 0.5] and [0.5, 1]; with r = t it is [0, 1]."""
    case = 'default'
    uniform = [IMF(case, 'draw_5'), 2 * IMF(case, 'draw_3'), 2 * IMF(case, 'draw_4') - 1]
    t, r = IMF(case, 't'), IMF(case, 'r')
    inputs = ImprovedMeanFlow().guidance_of(Batch(t, t, r, t, None, torch.stack(uniform, 1)))
    for name, value in zip(('omega', 't_min', 't_max'), inputs):
        assert_close(value, IMF(case, name), rtol=1e-6, atol=1e-7)


SOFLOW_CASES = [
    f'Linear_Euler_{case}'
    for case in (
        'uncond_cfg1.0_decay1.0_p0.0_mix1.0',
        'uncond_cfg1.0_decay1.0_p1.0_mix1.0',
        'label_cfg1.0_decay1.0_p0.5_mix1.0',
        'label_cfg2.5_decay1.0_p1.0_mix1.0',
    )
]


@pytest.mark.parametrize('kind', ['velocity', 'consistency'])
@pytest.mark.parametrize('case', SOFLOW_CASES)
def test_solution_flow_is_the_authors(monkeypatch, kind, case):
    """The value of their consistency loss is no squared error; its gradient is that of ours."""
    case = f'{kind}_{case}'
    options = SOFLOW.meta['cases'][case]
    objective = SolutionFlow(
        dict(type='AnnealingCurriculum', total_steps=1),
        power=options['p'],
        offset=options['eps'],
        guidance=options['cfg_scale'],
    )
    denoiser = two_times(SOFLOW, classes=options['labels'])
    dropped = SOFLOW('cfg_mask') & (options['cfg_scale'] != 1)  # the program drops labels for guidance alone
    labels = torch.where(dropped, len(SOFLOW('model_E')) - 1, SOFLOW('labels'))
    logs = []
    # One image at a time: the measurement has a ratio for each, and the curriculum one for all of a step.
    for t, s, level, image, noise, label in zip(*map(SOFLOW, ('t', 's', 'l', 'images', 'noise')), labels):
        ratio = ((t - level) / (t - s)).item()
        objective.curriculum = lambda step, ratio=ratio: ratio
        objective.draw = lambda num, t=t, s=s: torch.stack([t, t if kind == 'velocity' else s])[None]
        monkeypatch.setattr(torch, 'randn_like', ReplayedNoise([noise[None]]))
        logs.append(objective(Networks(denoiser), image[None], label[None] if options['labels'] else None, 0))
    log = {key: torch.cat([log[key] for log in logs]) for key in ('loss', 'error')}
    name = 'delta_mse' if kind == 'velocity' else 'quotient_mse'
    rtol = RTOL if kind == 'velocity' else 1e-4  # a difference of close images, divided by t - l
    assert_close(log['error'], SOFLOW(case, name), rtol=rtol, atol=0)
    scale = 1.0 if kind == 'velocity' else (SOFLOW('t') - SOFLOW('l')) / (SOFLOW('t') - SOFLOW('s')) / 2
    assert_close(log['loss'], scale * SOFLOW(case, 'weight') * SOFLOW(case, name), rtol=rtol, atol=0)
    assert_gradients(denoiser, log['loss'].mean(), SOFLOW, case, rtol)


@pytest.mark.parametrize('shape', ['Linear', 'Cosine', 'Exponent'])
def test_middle_times_of_solution_flow_are_the_authors(shape):
    case = f'middle_time_{shape}'
    options = SOFLOW.meta['cases'][case]
    name = dict(Exponent='exponential').get(shape, shape.lower())
    curriculum = AnnealingCurriculum(options['total_steps'], options['init_ratio'], options['end_ratio'], name)
    t, s = SOFLOW(case, 't'), SOFLOW(case, 's')
    for step, expected in zip(options['steps'], SOFLOW(case, 'l')):
        assert_close(t - curriculum(step).ratio * (t - s), expected, rtol=1e-6, atol=1e-7)


class Steps(nn.Module):
    """The toy network of shortcut models: v = W x + b + t p + (k / 8) q + sin(V x + t s) + E[y], for steps of 2^-k.

    Its time runs from noise to the image, and so does its velocity.
    """

    def __init__(self):
        super().__init__()
        for name in 'WVbpqsE':
            setattr(self, name, nn.Parameter(SHORTCUT(f'model_{name}').clone()))
        self.null_label = len(self.E) - 1

    def forward(self, x, t, labels, conditions):
        size = conditions[:, 0]
        exponent = torch.where(size > 0, -size.log2(), 7.0)
        t = 1 - t
        inner = F.conv2d(x, self.V[:, :, None, None]) + spread(t[:, None] * self.s)
        outer = t[:, None] * self.p + (exponent / 8)[:, None] * self.q + self.E[labels]
        return -(F.conv2d(x, self.W[:, :, None, None], self.b) + spread(outer) + inner.sin())


@pytest.mark.parametrize('case', ['plain', 'cfg', 'bias'])
def test_targets_of_shortcut_models_are_the_authors(monkeypatch, case):
    """Their noise keeps a share of 1e-5 at the image, as if that much of it were in the image."""
    options = SHORTCUT.meta['cases'][case]
    number = len(SHORTCUT('noise_bootstrap'))
    noise = torch.cat([SHORTCUT('noise_bootstrap'), SHORTCUT('noise_flow')[:number]])
    images = SHORTCUT('images')[:number].repeat(2, 1, 1, 1) + 1e-5 * noise
    t = 1 - SHORTCUT(case, 't')
    size = 2 ** -SHORTCUT(case, 'dt_base')
    size[number:] = 0
    objective = Shortcut(guidance=options['cfg_scale'] if options['bootstrap_cfg'] else 1.0, clip=4.0)
    objective.draw = lambda num: torch.stack([t, t - size], dim=1)
    monkeypatch.setattr(torch, 'randn_like', ReplayedNoise([noise]))
    denoiser = FlowMapDenoiser(dict(type=Steps))
    labels = SHORTCUT(case, 'labels').long()
    targets = []
    monkeypatch.setattr('mmcm.objectives.shortcut.squared', lambda error: targets.append(error) or error.sum((1, 2, 3)))
    objective(Networks(denoiser, denoiser), images, labels, 0)
    z = (1 - t).view(-1, 1, 1, 1) * images + t.view(-1, 1, 1, 1) * noise
    u = denoiser(z, t, labels, next_sigma=t - size, velocities=True)[0]
    assert_close(targets[0] - u, SHORTCUT(case, 'v_target'), rtol=0, atol=2e-6)


@pytest.mark.parametrize('steps', [1, 2, 4])
def test_steps_of_the_flow_map_are_the_programs(steps):
    images = FlowMapSampler(steps)(two_times(CIFAR), CIFAR('sampler_latents'), None)
    assert_near(images, CIFAR(f'sampler_{steps}', 'output'))
    denoise = partial(two_times(ZHUYU, classes=True), labels=ZHUYU('labels'))
    assert_near(
        FlowMapSampler(steps)(denoise, ZHUYU('sampler_latents'), None), ZHUYU(f'sampler_{steps}_cfg1.0', 'output')
    )


@pytest.mark.parametrize('case', [case for case in SOFLOW.meta['cases'] if case.startswith('sampler_Linear')])
def test_stochastic_steps_are_those_of_solution_flow(case):
    options = SOFLOW.meta['cases'][case]
    labels = SOFLOW('labels') if options['labels'] else None
    denoiser = two_times(SOFLOW, classes=options['labels'])
    images = FlowMapSampler(times=options['eval_time'][:-1], stochastic=True)(
        partial(denoiser, labels=labels), SOFLOW('sampler_latents'), ReplayedNoise(SOFLOW(case, 'noises'))
    )
    assert_near(images, SOFLOW(case, 'output'))


def test_one_step_is_that_of_the_authors_second_program():
    images = FlowMapSampler(1)(two_times(PY), PY('sample_onestep', 'noise'), None)
    assert_near(images, PY('sample_onestep', 'output'))


@pytest.mark.parametrize('kind', ['sde', 'ode'])
def test_steps_of_both_kinds_are_fastgens(kind):
    case = f'sample_{kind}'
    sampler = FlowMapSampler(times=FASTGEN('sampler_t_list')[:-1].tolist(), stochastic=kind == 'sde')
    denoiser = two_times(FASTGEN, classes=True)
    images = sampler(
        partial(denoiser, labels=FASTGEN('labels')),
        FASTGEN('sampler_latents') / sampler.times[0],  # theirs are z at the first time, not noise of unit variance
        ReplayedNoise(FASTGEN(case, 'noises')) if kind == 'sde' else None,
    )
    assert_near(images, FASTGEN(case, 'output'))
