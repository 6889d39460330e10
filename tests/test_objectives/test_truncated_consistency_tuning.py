import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mmcm.denoisers import KarrasDenoiser, TruncatedDenoiser
from mmcm.objectives import Networks, TruncatedConsistencyTuning
from mmcm.utils.errors import InputError
from support.parity import Fixture, ReplayedNoise, ToyNetwork, gaussian_consistency

FIXTURE = Fixture('tcm')
WEIGHTINGS = dict(default=None, cout_sq=dict(type='KarrasWeighting'))


def toy():
    """Return a denoiser around both measured networks."""
    weights = {stage: {letter: FIXTURE(f'{stage}_{letter}') for letter in 'WbuE'} for stage in ('model', 'teacher')}
    denoiser = TruncatedDenoiser(dict(type=ToyNetwork, **weights['model']))
    denoiser.backbone.lower.load_state_dict(weights['teacher'])
    return denoiser


@pytest.mark.parametrize('case', ['stage2_default', 'stage2_cout_sq'])
def test_losses_and_gradients_are_the_references(monkeypatch, case):
    settings = FIXTURE.meta['cases'][case]
    images, labels = FIXTURE('images').double(), FIXTURE('labels_onehot').argmax(1)
    objective = TruncatedConsistencyTuning(
        dict(type='ShrinkingCurriculum', stage_length=10, q=settings['q'], ratio_limit=settings['ratio_limit']),
        distance=dict(type='PseudoHuber', factor=settings['c'] / math.sqrt(images[0].numel())),
        weighting=WEIGHTINGS[settings['weighting']],
        boundary_share=settings['boundary_prob'],
        boundary_weight=settings['w_boundary'],
    )
    step = 10 * settings['stage']
    objective.levels = lambda num: FIXTURE(case, 'ln_t').exp()
    monkeypatch.setattr(torch, 'randperm', lambda num, device: FIXTURE(case, 'permutation'))
    monkeypatch.setattr(torch, 'randn_like', ReplayedNoise([FIXTURE(case, 'noise')]))
    denoiser = toy().double()
    log = objective(Networks(denoiser), images, labels, step)
    t, boundary = log['sigma'], FIXTURE(case, 'boundary_mask')
    assert (t[boundary] == 1).all()
    assert_close(t[~boundary], FIXTURE(case, 't_kept'), rtol=1e-9, atol=0)
    r = objective.next_level(t, objective.curriculum(step).ratio)
    assert_close(r, FIXTURE(case, 'r_all'), rtol=1e-7, atol=0)  # theirs at the boundary starts at 1 + 1e-8
    # The two images of a step differ by little, and theirs are in single precision.
    loss, rtol, share = log['loss'].detach(), 1e-4, boundary.double().mean()
    assert_close(loss[~boundary] * (1 - share), FIXTURE(case, 'loss').double(), rtol=rtol, atol=0)
    weighted = FIXTURE(case, 'loss_boundary').double() * settings['w_boundary']
    assert_close(loss[boundary] * share, weighted, rtol=rtol, atol=0)
    log['loss'].mean().backward()
    assert log['loss'].mean().item() == pytest.approx(FIXTURE(case, 'scalar').item(), rel=rtol)
    for letter in 'WbuE':
        expected, found = FIXTURE(case, f'grad_{letter}').double(), getattr(denoiser.backbone.upper, letter).grad
        assert_close(found, expected, rtol=0, atol=rtol * expected.abs().max().item())
    assert all(parameter.grad is None for parameter in denoiser.backbone.lower.parameters())


class Exact(nn.Module):
    """F of the denoiser that is the exact consistency function of data N(0.3, 0.2^2), plus an offset."""

    def __init__(self, offset=0.0):
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(offset, dtype=torch.float64))

    def forward(self, x, t, labels=None):
        sigma = (t / 250).exp().view(-1, 1, 1, 1)
        root = (sigma**2 + 0.25).sqrt()
        x = x * root  # c_in is its inverse
        goal = gaussian_consistency(x, sigma.flatten(), 0.3, 0.2) + self.offset
        return (goal - 0.25 / root**2 * x) * root / (0.5 * sigma)


def gaussian(num=64, offset=0.0, **options):
    """Return the objective's output with exact networks, of which the trained one is off by `offset`."""
    torch.manual_seed(0)
    objective = TruncatedConsistencyTuning(dict(type='ShrinkingCurriculum', stage_length=1), **options)
    denoiser = TruncatedDenoiser(dict(type=Exact))
    denoiser.backbone.upper.offset.data += offset
    x0 = 0.3 + 0.2 * torch.randn(num, 1, 2, 2, dtype=torch.float64)
    log = objective(Networks(denoiser), x0, None, 7)
    return log, objective.next_level(log['sigma'], objective.curriculum(7).ratio), denoiser


def test_targets_below_the_transition_are_those_of_the_first_stage():
    """On Gaussian data, where the distance of the exact networks is what Euler's step leaves."""
    exact, r, _ = gaussian()
    log, _, denoiser = gaussian(offset=0.1)
    boundary, below = log['sigma'] == 1, r < 1
    assert boundary.sum() == 16 and below[boundary].all() and (~below).any()
    # The trained network is off at both ends of a step above the transition, which thus shows no difference, and at
    # one end of the others: by 0.1 in each of four values.
    assert_close(log['distance'][~below], exact['distance'][~below], rtol=0, atol=1e-9)
    assert ((log['distance'][below] - 0.2).abs() <= exact['distance'][below] + 1e-9).all()
    assert exact['distance'][below].max() < 0.02
    log['loss'].mean().backward()
    assert denoiser.backbone.upper.offset.grad > 0 and denoiser.backbone.lower.offset.grad is None


def test_loss_is_the_mean_of_the_others_and_the_weighted_mean_of_the_boundary():
    log, r, _ = gaussian(num=10, offset=0.1, boundary_share=0.35, boundary_weight=0.5)
    losses, boundary = log['distance'] / (log['sigma'] - r), log['sigma'] == 1
    assert boundary.sum() == 3
    assert_close(log['loss'].mean().detach(), losses[~boundary].mean() + 0.5 * losses[boundary].mean())
    log, r, _ = gaussian(num=2, boundary_share=0.35)  # 0.7 images are none
    assert (log['sigma'] > 1).all()
    assert_close(log['loss'].detach(), log['distance'] / (log['sigma'] - r))


def test_boundary_is_zero_where_the_student_equals_the_first_stage():
    """Both networks return the clean mean, whatever the level."""
    objective = TruncatedConsistencyTuning(dict(type='ShrinkingCurriculum', stage_length=1), boundary_share=0.9)

    class Same(TruncatedDenoiser):
        def forward(self, x, sigma, labels=None, augment_labels=None):
            return 0.3 + 0 * super().forward(x, sigma, labels)

    log = objective(Networks(Same(dict(type=Exact))), torch.randn(10, 1, 2, 2).double(), None, 7)
    assert (log['sigma'] == 1).sum() == 9 and not log['loss'].any()


def test_levels_below_the_transition_and_other_denoisers_are_refused():
    with pytest.raises(InputError, match='below the transition 1'):
        gaussian(levels=dict(type='LognormalLevels'))
    curriculum = dict(type='ShrinkingCurriculum', stage_length=1)
    other = KarrasDenoiser(dict(type=Exact), boundary=False)
    with pytest.raises(InputError, match='TruncatedDenoiser'):
        TruncatedConsistencyTuning(curriculum)(Networks(other), torch.zeros(2, 1, 2, 2), None, 0)
    for options in (dict(boundary_share=1.0), dict(boundary_weight=-1.0)):
        with pytest.raises(InputError, match='boundary_share'):
            TruncatedConsistencyTuning(curriculum, **options)
