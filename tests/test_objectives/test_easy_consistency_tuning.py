import math

import pytest
import torch
from torch.testing import assert_close

from mmcm.objectives import EasyConsistencyTuning, Networks
from mmcm.utils.errors import InputError
from support.parity import Fixture, ReplayedNoise, close, gaussian_consistency

LEVELS = torch.tensor([0.01, 0.3, 1.0, 5.0, 60.0]).double()


def build(q=2.0, **options):
    objective = EasyConsistencyTuning(dict(type='ShrinkingCurriculum', stage_length=1, q=q), **options)
    objective.levels = lambda num: LEVELS
    return objective


def draw():
    return torch.randn(2, 5, 1, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def exact(x, sigma, labels=None):
    return gaussian_consistency(x, sigma, 0.3, 0.2)


@pytest.mark.parametrize('case', ['const_q2_k8_b1', 'sigmoid_q2_k8_b1', 'sigmoid_q4_k8_b1', 'sigmoid_q256_k8_b1'])
def test_steps_of_all_stages_are_the_references(case):
    fixture = Fixture('ect')
    options = fixture.meta['cases'][case]
    k = options['k'] if options['adj'] == 'sigmoid' else 0.0
    objective = build(options['q'], k=k, b=options['b'])
    for stage, expected in zip(options['stages'], fixture(case, 'r_by_stage')):
        # In t (1 - share n) two numbers close to 1 cancel, so their rounding counts, not that of r: for each program an
        # eps for the sigmoid, one for its product with k, and half of one for each sum and product after that.
        close(
            objective.next_level(fixture('t'), objective.curriculum(stage).ratio), expected, 2 * 4, scale=fixture('t')
        )


def test_first_stage_goes_on_with_the_training_of_the_diffusion_model(monkeypatch):
    """Geng et al. (2024), Section 3: with r = 0 the loss is |D(x_t, t) - x0| / t."""
    x0, noise = draw()
    monkeypatch.setattr(torch, 'randn_like', ReplayedNoise([noise]))
    # q close to 1: r is 0 wherever n(t) >= q
    loss = build(q=1 + 1e-9, k=8.0, b=0.1)(Networks(exact), x0, None, 0)['loss']
    x = x0 + LEVELS.view(-1, 1, 1, 1) * noise
    assert_close(loss, (exact(x, LEVELS) - x0).square().sum((1, 2, 3)).sqrt() / LEVELS)


@pytest.mark.parametrize('stage', [0, 1, 4])
def test_goal_lies_on_the_line_between_image_and_noise(monkeypatch, stage):
    x0, noise = draw()
    monkeypatch.setattr(torch, 'randn_like', ReplayedNoise([noise]))
    log = build(q=2.0, k=8.0, b=2.0)(Networks(exact), x0, None, stage)
    for row, t in enumerate(LEVELS.tolist()):
        r = max(t * (1 - (1 + 8 / (1 + math.exp(2 * t))) / 2 ** (stage + 1)), 0)
        level, next_level = torch.tensor([[t], [r]]).double()
        goal = exact(x0[row] + r * noise[row], next_level) if r else x0[row]
        distance = (exact(x0[row] + t * noise[row], level) - goal).norm()
        assert log['distance'][row].item() == pytest.approx(distance.item())
        assert log['loss'][row].item() == pytest.approx(distance.item() / (t - r))
    assert log['share'].item() == 2 ** -(stage + 1)


@pytest.mark.parametrize('stage', [0, 3])
def test_network_without_noise_level_zero_gives_finite_gradients(stage):
    weight = torch.ones(1, requires_grad=True, dtype=torch.float64)

    def logarithmic(x, sigma, labels):
        assert (sigma > 0).all()
        return weight * x * sigma.log().view(-1, 1, 1, 1)

    build(b=1.0)(Networks(logarithmic), draw()[0], None, stage)['loss'].mean().backward()
    assert weight.grad.isfinite().all() and weight.grad.abs() > 0


def test_goal_carries_no_gradients():
    weight = torch.ones(1, requires_grad=True, dtype=torch.float64)
    outputs = []

    def online(x, sigma, labels):
        outputs.append(weight * x)
        return outputs[-1]

    build()(Networks(online), draw()[0], None, 5)
    assert [output.requires_grad for output in outputs] == [False, True]  # the goal comes first


def test_both_passes_see_the_labels_and_the_same_dropout_mask():
    torch.manual_seed(0)
    masks, labels, seen = [], torch.arange(5), []

    def online(x, sigma, given):
        seen.append(given)
        masks.append(torch.rand_like(x) < 0.5)
        return x * masks[-1]

    build()(Networks(online), draw()[0], labels, 3)
    assert torch.equal(*masks) and all(given is labels for given in seen)


def test_parts_are_the_papers_unless_told_otherwise():
    objective = EasyConsistencyTuning(dict(type='ShrinkingCurriculum', stage_length=1))
    assert (objective.levels.mean, objective.levels.std) == (-1.1, 2.0)
    assert (objective.k, objective.b, objective.distance.factor) == (8.0, 1.0, 0.0)
    assert not objective.needs_target and not objective.needs_teacher


def test_levels_that_learn_from_losses_are_refused():
    with pytest.raises(InputError, match='EDM'):
        build(levels=dict(type='LossSecondMomentLevels'))


def test_step_that_rounds_to_nothing_has_no_loss():
    curriculum = dict(type='ShrinkingCurriculum', stage_length=1, q=256.0)
    x0 = torch.zeros(4, 1, 2, 2)
    result = EasyConsistencyTuning(curriculum)(Networks(lambda x, sigma, labels: x), x0, None, 20)
    assert torch.equal(result['loss'], torch.zeros(4))
