"""Flow maps of Gaussian data, whose mean velocity is known: residuals vanish at it, and training finds it."""

from itertools import pairwise

import pytest
import torch

from mmcm.denoisers import FlowMapDenoiser
from mmcm.objectives import Networks
from mmcm.registry import OBJECTIVES
from mmcm.samplers import FlowMapSampler
from support.flow_maps import gaussian_flow_map
from support.parity import ReplayedNoise

MEAN, STD = 0.3, 0.2
TIMES = dict(type='UniformTimes', ratio=0.75)
ANNEALING = dict(type='AnnealingCurriculum', total_steps=1)
METHODS = dict(
    meanflow=dict(type='MeanFlow', times=TIMES),
    imf=dict(type='ImprovedMeanFlow', times=TIMES),
    soflow=dict(type='SolutionFlow', times=TIMES, curriculum=dict(ANNEALING, start_ratio=0.02)),
    shortcut=dict(type='Shortcut', num_levels=5, ratio=0.5, target_decay=0.0),
)


def column(t):
    return t.view(-1, 1, 1, 1)


def marginal_velocity(z, t):
    """Return E[e - x0 | z_t]: the velocity that is the mean of all that may lie behind z_t."""
    variance = (1 - t) ** 2 * STD**2 + t**2
    return -MEAN + (t - (1 - t) * STD**2) / variance * (z - (1 - t) * MEAN)


def pairs(num=64):
    """Return times with r <= t, some equal, the ends among them, in double precision."""
    times = torch.rand(num, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64).sort(1, True).values
    times[:8, 1] = times[:8, 0]
    times[8:16, 1] = 0
    times[16:20, 0] = 1
    return times


def on_the_trajectory(monkeypatch, name, times, **changes):
    """Return the result for x0 and e on the straight line whose slope at z_t is the marginal velocity.

    The targets of data are those of the marginal velocity in the mean; with such pairs they are so for each image.
    """
    objective = OBJECTIVES.build({**METHODS[name], 'power': 0.0, **changes} if name != 'shortcut' else METHODS[name])
    objective.draw = lambda num: times
    t = column(times[:, 0])
    z = torch.randn(len(times), 1, 2, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    v = marginal_velocity(z, t)
    monkeypatch.setattr(torch, 'randn_like', ReplayedNoise([z + (1 - t) * v]))  # e = z + (1 - t) v, x0 = z - t v
    denoiser = gaussian_flow_map(mean=MEAN, std=STD)
    return denoiser, objective(Networks(denoiser, denoiser), z - t * v, None, 0)


@pytest.mark.parametrize('tangent', ['ForwardModeTangent', 'FiniteDifferenceTangent'])
@pytest.mark.parametrize('name', ['meanflow', 'imf'])
def test_identity_of_the_mean_velocity_holds_exactly(monkeypatch, name, tangent):
    options = dict(step=1e-5) if tangent == 'FiniteDifferenceTangent' else {}
    log = on_the_trajectory(monkeypatch, name, pairs(), tangent=dict(type=tangent, **options))[1]
    assert log['error'].max() < (1e-15 if tangent == 'FiniteDifferenceTangent' else 1e-24)
    assert log['slope'].max() > 0.1  # the derivative that makes it so is none of zero


def test_error_of_the_consistency_of_solutions_is_of_the_second_order_in_its_step(monkeypatch):
    """The step to l is Euler's: its error, divided by t - l, falls with t - l."""
    errors = []
    for ratio in (1e-3, 1e-4, 1e-5):
        changes = dict(curriculum=dict(ANNEALING, start_ratio=ratio, end_ratio=ratio))
        errors.append(on_the_trajectory(monkeypatch, 'soflow', pairs(), **changes)[1]['error'])
    same = pairs()[:, 0] == pairs()[:, 1]
    assert all(error[same].max() < 1e-28 for error in errors)
    assert errors[-1].max() < 1e-9
    for larger, smaller in pairwise(errors):
        ratios = (larger / smaller)[~same]
        assert ((ratios > 80) & (ratios < 120)).float().mean() > 0.9  # 100 but where the second order vanishes


def test_two_half_steps_of_the_exact_map_are_one_step(monkeypatch):
    """The target takes steps of 2^-L to be infinitely small: without those, the residual is rounding."""
    sizes = 2.0 ** -torch.arange(0, 4, dtype=torch.float64).repeat(8)  # L is 5: half of 2^-3 is not yet the smallest
    t = 1 - sizes * (torch.rand(32, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / sizes).floor()
    log = on_the_trajectory(monkeypatch, 'shortcut', torch.stack([t, t - sizes], 1))[1]
    assert log['error'].max() < 1e-28
    smallest = torch.stack([t, t - 2.0**-4], 1)[t >= 2.0**-4]
    assert on_the_trajectory(monkeypatch, 'shortcut', smallest)[1]['error'].max() > 1e-8


def train(config, denoiser, steps, batch_size=1024, rate=0.05):
    objective = OBJECTIVES.build(config).double()
    parameters = [denoiser.backbone.mean, denoiser.backbone.log_std]
    optimiser = torch.optim.Adam(parameters, lr=rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, steps)
    for step in range(steps):
        x0 = MEAN + STD * torch.randn(batch_size, 1, 1, 1).double()
        loss = objective(Networks(denoiser, denoiser), x0, None, step)['loss'].mean()
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters)):
            parameter.grad = gradient
        optimiser.step()
        schedule.step()
    return denoiser.backbone.mean.item(), denoiser.backbone.log_std.exp().item()


@pytest.mark.parametrize('name', METHODS)
def test_training_finds_the_mean_velocity(name):
    torch.manual_seed(0)
    # The adaptive weight of a single value is largest where the error happens to be small, which biases the fit.
    config = {**METHODS[name], 'power': 0.0} if name != 'shortcut' else METHODS[name]
    mean, std = train(config, gaussian_flow_map(mean=0.0, std=0.5), steps=200)
    assert mean == pytest.approx(MEAN, abs=0.01)
    assert std == pytest.approx(STD, rel=0.04)


class Affine(torch.nn.Module):
    """u = a(t, r) z + b(t, r), where a small network knows nothing of the data but that."""

    def __init__(self):
        super().__init__()
        widths = (torch.nn.Linear(2, 32), torch.nn.Linear(32, 32), torch.nn.Linear(32, 2))
        self.layers = torch.nn.Sequential(widths[0], torch.nn.SiLU(), widths[1], torch.nn.SiLU(), widths[2])

    def forward(self, z, t, labels, conditions):
        slope, offset = self.layers(torch.cat([t[:, None], conditions], dim=1)).unbind(1)
        return column(slope) * z + column(offset)


@pytest.mark.slow
@pytest.mark.parametrize('name', METHODS)
def test_small_network_samples_the_data_in_one_step(name):
    torch.manual_seed(0)
    mean, std, steps = 0.3, 0.6, 800
    denoiser, target = (FlowMapDenoiser(dict(type=Affine)) for _ in range(2))
    changes = dict(curriculum=dict(ANNEALING, total_steps=steps)) if name == 'soflow' else {}
    objective = OBJECTIVES.build({**METHODS[name], **changes})
    optimiser = torch.optim.Adam(denoiser.parameters(), lr=0.02, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, steps)
    for step in range(steps):
        target.load_state_dict(denoiser.state_dict())
        x0 = mean + std * torch.randn(512, 1, 4, 4)
        optimiser.zero_grad()
        objective(Networks(denoiser, target), x0, None, step)['loss'].mean().backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        samples = FlowMapSampler(1)(denoiser, torch.randn(100_000, 1, 1, 1), None)
    assert samples.mean().item() == pytest.approx(mean, abs=0.01)
    assert samples.std().item() == pytest.approx(std, rel=0.04)
