import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mmcm.denoisers import KarrasDenoiser, TrigFlowDenoiser
from mmcm.objectives import ContinuousConsistencyDistillation, ContinuousConsistencyTraining, Networks
from mmcm.objectives.continuous_consistency import LogWeight
from mmcm.utils.errors import InputError
from support.parity import ReplayedNoise, gaussian_consistency, gaussian_denoiser, gaussian_model

KINDS = pytest.mark.parametrize('kind', [ContinuousConsistencyDistillation, ContinuousConsistencyTraining])
TANGENTS = pytest.mark.parametrize(
    'tangent',
    [dict(type='ForwardModeTangent'), dict(type='FiniteDifferenceTangent', step=1e-5)],
    ids=lambda value: value['type'],
)
MEAN, STD, SIGMA_DATA = 0.3, 0.2, 0.5
LEVELS = torch.tensor([0.01, 0.2, 0.7, 3.0, 40.0]).double()


def teacher(x, sigma, labels=None):
    return gaussian_denoiser(x, sigma, MEAN, STD)


def build(kind, levels=LEVELS, **options):
    objective = kind(**{'warmup_steps': 0, **options}).double()
    objective.levels = lambda num: levels
    return objective


def draw():
    generator = torch.Generator().manual_seed(0)
    x0, noise = torch.randn(2, 5, 1, 3, 3, generator=generator, dtype=torch.float64)
    return MEAN + STD * x0, noise


def column(t):
    return t.view(-1, 1, 1, 1)


def gradients(denoiser, loss):
    return torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, list(denoiser.parameters()))])


def test_exact_consistency_function_has_no_tangent_along_the_exact_trajectory():
    """sCD: df/dt = 0 is what consistency means."""
    x0, _ = draw()
    denoiser = gaussian_model(mean=MEAN, std=STD)
    log = build(ContinuousConsistencyDistillation)(Networks(denoiser, teacher=teacher), x0, None, 0)
    assert log['tangent'].max() < 1e-13 and log['error'].max() < 1e-25
    assert gradients(denoiser, log['loss'].mean()).abs().max() < 1e-13


@pytest.mark.parametrize('step, exact', [(0, gaussian_denoiser), (10, gaussian_consistency)])
def test_expected_gradient_of_training_vanishes_at_the_exact_function(monkeypatch, step, exact):
    """sCT: of the two images that x_t may come from, as far on either side of their mean, the gradients cancel.

    The warm-up begins with the objective of a diffusion model, whose optimum is the mean.
    """
    x0, noise = draw()
    t = column((LEVELS / SIGMA_DATA).atan())
    x_t = t.cos() * x0 + t.sin() * SIGMA_DATA * noise
    mirrored = 2 * teacher(x_t / t.cos(), LEVELS) - x0
    mirrored_noise = (x_t - t.cos() * mirrored) / (SIGMA_DATA * t.sin())
    denoiser = gaussian_model(exact=exact, mean=MEAN, std=STD)
    sides = []
    for images, draws in ((x0, noise), (mirrored, mirrored_noise)):
        monkeypatch.setattr(torch, 'randn_like', ReplayedNoise([draws]))
        log = build(ContinuousConsistencyTraining, warmup_steps=10)(Networks(denoiser), images, None, step)
        sides.append(gradients(denoiser, log['loss'].mean()))
    assert sides[0].abs().min() > 1e-6
    assert_close(sides[0] + sides[1], torch.zeros(7).double(), rtol=0, atol=1e-12)


def test_expected_gradient_points_back_to_the_exact_function():
    torch.manual_seed(0)
    for kind, networks in (
        (ContinuousConsistencyTraining, Networks),
        (ContinuousConsistencyDistillation, lambda denoiser: Networks(denoiser, teacher=teacher)),
    ):
        for mean, log_std in ((0.1, 0.0), (-0.1, 0.0), (0.0, 0.3), (0.0, -0.3)):
            denoiser = gaussian_model(mean=MEAN + mean, std=STD * math.exp(log_std))
            x0 = MEAN + STD * torch.randn(5 * 2000, 1, 1, 1).double()
            log = build(kind, LEVELS.repeat(2000))(networks(denoiser), x0, None, 0)
            gradient = gradients(denoiser, log['loss'].mean())[:2]
            assert (gradient * torch.tensor([mean, log_std])).sum() > 0


def tangent_along(denoiser, x_t, velocity, t, warmup):
    """Return g of Lu & Song (2024), Algorithm 1: cos(t) df/dt by a difference of f, or its first half alone.

    cos(t) df/dt = cos(t) (-sin(t) x_t + cos(t) x_t' - cos(t) sigma_data F - sin(t) sigma_data dF/dt).
    """

    def f(x_t, t):
        return denoiser(x_t / column(t.cos()), SIGMA_DATA * t.tan())

    step, cos = 1e-6, column(t.cos())
    with torch.no_grad():
        slope = (f(x_t + step * velocity, t + step) - f(x_t - step * velocity, t - step)) / (2 * step)
        start = -(cos**2) * (SIGMA_DATA * denoiser.network(x_t / SIGMA_DATA, t) - velocity)
    return (1 - warmup) * start + warmup * cos * slope


@KINDS
@TANGENTS
@pytest.mark.parametrize('step, warmup', [(0, 0.0), (3, 0.3), (10, 1.0), (25, 1.0)])
def test_loss_and_gradient_are_the_papers(monkeypatch, kind, tangent, step, warmup):
    x0, noise = draw()
    monkeypatch.setattr(torch, 'randn_like', ReplayedNoise([noise]))
    denoiser = gaussian_model(mean=0.1, std=0.4)
    objective = build(kind, tangent=tangent, warmup_steps=10, normaliser=0.2)
    with torch.no_grad():
        objective.log_weight.linear.weight.normal_()
    log = objective(Networks(denoiser, teacher=teacher), x0, None, step)

    t = (LEVELS / SIGMA_DATA).atan()
    cos, sin, z = column(t.cos()), column(t.sin()), SIGMA_DATA * noise
    x_t = cos * x0 + sin * z
    if kind is ContinuousConsistencyTraining:
        velocity = cos * z - sin * x0
    else:  # the slope dx/dsigma = (x - D) / sigma of the ODE, for x_t = cos(t) x and sigma = sigma_data tan(t)
        x, sigma = x_t / cos, column(LEVELS)
        velocity = -sin * x + cos * (x - teacher(x, LEVELS)) / sigma * SIGMA_DATA / cos**2
    g = tangent_along(denoiser, x_t, velocity, t, warmup)
    size = g.square().sum((1, 2, 3)).sqrt()
    g = g / column(size + 0.2)
    weight = log['log_weight']
    online = denoiser.network(x_t / SIGMA_DATA, t)
    expected = weight.exp() / 9 * (online - online.detach() - g).square().sum((1, 2, 3)) - weight
    assert_close(log['tangent'], size, rtol=1e-6, atol=1e-9)
    assert_close(log['error'], (size / (size + 0.2)).square() / 9, rtol=1e-6, atol=1e-9)
    assert_close(log['loss'], expected, rtol=1e-6, atol=1e-8)
    assert_close(gradients(denoiser, log['loss'].mean()), gradients(denoiser, expected.mean()), rtol=1e-5, atol=1e-8)


class Dropout(nn.Module):
    """A backbone that drops half of its features, and remembers which."""

    def __init__(self):
        super().__init__()
        self.masks = []

    def forward(self, x, conditioning, labels=None):
        self.masks.append(torch.rand(x.shape) < 0.5)
        return x * self.masks[-1]


@KINDS
@TANGENTS
def test_all_passes_see_the_same_dropout_mask(kind, tangent):
    torch.manual_seed(0)
    denoiser = TrigFlowDenoiser(dict(type=Dropout))

    def noisy_teacher(x, sigma, labels):  # draws random numbers of its own
        return x * torch.rand_like(x)

    for step in range(2):
        build(kind, tangent=tangent)(Networks(denoiser, teacher=noisy_teacher), draw()[0], None, step)
    masks = denoiser.backbone.masks
    first, second = masks[: len(masks) // 2], masks[len(masks) // 2 :]
    assert len(first) == (2 if tangent['type'] == 'ForwardModeTangent' else 3)
    assert all(torch.equal(mask, first[0]) for mask in first) and all(torch.equal(mask, second[0]) for mask in second)
    assert not torch.equal(first[0], second[0])


@KINDS
def test_every_network_gets_the_labels(kind):
    seen = []

    class Listening(nn.Module):
        def forward(self, x, conditioning, labels):
            seen.append(labels)
            return x

    def listening_teacher(x, sigma, labels):
        seen.append(labels)
        return x

    labels = torch.arange(5)
    build(kind)(Networks(TrigFlowDenoiser(dict(type=Listening)), teacher=listening_teacher), draw()[0], labels, 0)
    assert len(seen) == 2 + kind.needs_teacher and all(given is labels for given in seen)


def test_teacher_gets_no_gradients():
    factor = torch.ones(1, requires_grad=True, dtype=torch.float64)
    networks = Networks(gaussian_model(), teacher=lambda x, sigma, labels: factor * x)
    log = build(ContinuousConsistencyDistillation)(networks, draw()[0], None, 0)
    log['loss'].mean().backward()
    assert factor.grad is None and not log['tangent'].requires_grad


def test_teacher_gets_the_noisy_images_and_their_levels(monkeypatch):
    x0, noise = draw()
    monkeypatch.setattr(torch, 'randn_like', ReplayedNoise([noise]))
    seen = []

    def listening_teacher(x, sigma, labels):
        seen.append((x, sigma))
        return teacher(x, sigma)

    build(ContinuousConsistencyDistillation)(Networks(gaussian_model(), teacher=listening_teacher), x0, None, 0)
    ((x, sigma),) = seen
    assert_close(sigma, LEVELS)
    assert_close(x, x0 + column(LEVELS) * noise)


@KINDS
def test_warm_up_takes_the_papers_time_unless_told_otherwise(kind):
    objective = kind()
    assert (objective.warmup_steps, objective.normaliser) == (10000, 0.1)
    assert (objective.levels.mean, objective.levels.std) == (-1.0, 1.4)


def test_weight_is_one_to_begin_with_and_finds_one_over_the_error():
    """d/dw (e^w error - w) = 0 where w = -log(error)."""
    x0, _ = draw()
    denoiser = gaussian_model(mean=0.1, std=0.4)
    objective = build(ContinuousConsistencyTraining)
    parameters = list(objective.log_weight.parameters())
    optimiser = torch.optim.LBFGS(parameters, max_iter=30, line_search_fn='strong_wolfe')

    def evaluate():
        optimiser.zero_grad()
        torch.manual_seed(0)
        log = objective(Networks(denoiser), x0, None, 0)
        log['loss'].mean().backward()
        history.append(log)
        return log['loss'].mean()

    history = []
    optimiser.step(evaluate)
    assert not history[0]['log_weight'].any()
    assert_close(history[0]['loss'].detach(), history[0]['error'])
    assert_close(history[-1]['log_weight'].double(), -history[-1]['error'].log(), rtol=0.01, atol=0)


def test_features_of_the_weight_are_fixed():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = LogWeight(64).frequencies
    torch.nn.Linear(64, 1, bias=False)
    after = torch.rand(1)
    torch.set_rng_state(state)
    torch.nn.Linear(64, 1, bias=False), torch.nn.Linear(64, 1, bias=False)
    assert torch.equal(torch.rand(1), after)  # of the global generator, only the layer's initialisation draws
    torch.manual_seed(1)
    assert torch.equal(LogWeight(64).frequencies, first)
    assert list(LogWeight(64).state_dict()) == ['linear.weight']


def test_weight_resolves_levels():
    """The features of Karras et al. (2024) have unit variance: random weights give a function of t that varies."""
    weight = LogWeight(256)
    with torch.no_grad():
        weight.linear.weight.normal_(generator=torch.Generator().manual_seed(0))
        values = weight(torch.linspace(0, math.pi / 2, 1000))
    assert 0.5 < values.std() < 1.5 and values.dtype == torch.float32


@KINDS
def test_another_denoiser_is_refused(kind):
    denoiser = KarrasDenoiser(dict(type=nn.Identity))
    with pytest.raises(InputError, match="model.denoiser.type='TrigFlowDenoiser'"):
        build(kind)(Networks(denoiser, teacher=teacher), draw()[0], None, 0)


@pytest.mark.parametrize('options', [dict(warmup_steps=-1), dict(normaliser=0.0), dict(normaliser=float('nan'))])
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(InputError):
        ContinuousConsistencyTraining(**options)
