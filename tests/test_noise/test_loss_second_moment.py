import numpy as np
import pytest
import torch
from torch.testing import assert_close

from mmcm.noise import LossSecondMomentLevels, karras_sigmas
from mmcm.noise import loss_second_moment as module
from mmcm.objectives import EDM, Networks
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from support.digits import model_config


def weigh(levels, index, losses):
    index = torch.as_tensor(index)
    return levels.weigh(torch.as_tensor(losses, dtype=torch.float32), levels.sigmas[index])


def expected_probabilities(histories, size, uniform):
    """Nichol & Dhariwal (2021), Section 3.3, from all losses of each level in their order."""
    moments = np.array([np.sqrt(np.mean(np.square(history[-size:]))) for history in histories])
    return (1 - uniform) * moments / moments.sum() + uniform / len(moments)


def test_probabilities_are_those_of_the_last_losses_of_each_level():
    random = np.random.RandomState(0)
    levels = LossSecondMomentLevels(num_levels=5, history=3, uniform=0.1)
    histories = [[] for _ in range(5)]
    for _ in range(30):
        index, losses = random.randint(5, size=7), random.rand(7).astype(np.float32)
        weigh(levels, index, losses)
        for level, loss in zip(index, losses):
            histories[level].append(loss)
        if min(map(len, histories)) >= 3:
            expected = torch.from_numpy(expected_probabilities(histories, 3, 0.1)).float()
            assert_close(levels.probabilities(), expected)


def test_batch_with_more_losses_of_a_level_than_are_remembered_leaves_the_last_ones():
    levels = LossSecondMomentLevels(num_levels=2, history=3, uniform=0.001)
    weigh(levels, [0, 1, 0, 0, 0, 0, 1, 1, 0], [9.0, 1.0, 9.0, 9.0, 4.0, 2.0, 1.0, 1.0, 4.0])
    assert sorted(levels.losses[0].tolist()) == [2.0, 4.0, 4.0]
    assert levels.counts.tolist() == [6, 3]
    moments = torch.tensor([12.0**0.5, 1.0])
    assert_close(levels.probabilities(), 0.999 * moments / moments.sum() + 0.0005)
    weigh(levels, [0], [7.0])  # in the place of the oldest
    assert sorted(levels.losses[0].tolist()) == [2.0, 4.0, 7.0]


def test_levels_are_equally_likely_until_each_has_its_history():
    levels = LossSecondMomentLevels(num_levels=3, history=2)
    weigh(levels, [0, 0, 0, 1, 1, 2], [5.0, 5.0, 5.0, 1.0, 1.0, 2.0])
    assert_close(levels.probabilities(), torch.full((3,), 1 / 3))
    weigh(levels, [2], [2.0])
    assert levels.probabilities().argmax() == 0


def test_losses_that_all_vanish_leave_the_levels_equally_likely():
    levels = LossSecondMomentLevels(num_levels=2, history=1)
    weigh(levels, [0, 1], [0.0, 0.0])
    assert_close(levels.probabilities(), torch.full((2,), 0.5))


def learned(uniform=0.01):
    levels = LossSecondMomentLevels(num_levels=4, history=1, uniform=uniform)
    weigh(levels, [0, 1, 2, 3], [8.0, 4.0, 1.0, 0.5])
    return levels


def test_levels_are_drawn_as_often_as_their_probability_says():
    torch.manual_seed(0)
    levels = learned()
    drawn = levels(100000)
    assert drawn.dtype == torch.float32
    shares = torch.stack([(drawn == sigma).float().mean() for sigma in levels.sigmas])
    assert_close(levels.sigmas, karras_sigmas(4).float())
    assert_close(shares, levels.probabilities(), rtol=0, atol=0.006)


def test_expectation_of_the_weighted_loss_is_the_mean_over_all_levels():
    levels = learned()
    losses, probabilities = torch.tensor([3.0, 1.0, 4.0, 1.5]), levels.probabilities()
    weighted = weigh(levels, [0, 1, 2, 3], losses)
    assert_close((probabilities * weighted).sum(), losses.mean())


def test_loss_is_weighed_by_the_probabilities_it_was_drawn_with():
    levels = learned()
    before = levels.probabilities()
    assert_close(weigh(levels, [0], [100.0]), 100 / (4 * before[:1]))
    assert not torch.equal(levels.probabilities(), before)


def test_gradient_passes_the_weight_but_not_the_memory():
    levels = learned()
    losses = torch.ones(2, requires_grad=True)
    levels.weigh(losses, levels.sigmas[:2]).sum().backward()
    assert_close(losses.grad, 1 / (4 * learned().probabilities()[:2]))
    assert not levels.losses.requires_grad


def test_all_processes_remember_the_losses_of_all(monkeypatch):
    others = {torch.int64: torch.tensor([1, 1]), torch.float32: torch.tensor([6.0, 7.0])}
    monkeypatch.setattr(module, 'all_gather', lambda own: [own, others[own.dtype]])
    levels = LossSecondMomentLevels(num_levels=2, history=2)
    weighted = weigh(levels, [0, 0], [1.0, 2.0])
    assert weighted.tolist() == [1.0, 2.0]
    assert sorted(map(sorted, levels.losses.tolist())) == [[1.0, 2.0], [6.0, 7.0]]


def test_objective_remembers_the_losses_without_their_new_weight():
    torch.manual_seed(0)
    objective = EDM(dict(type='LossSecondMomentLevels', num_levels=2, history=1, uniform=0.5))
    weigh(objective.levels, [0, 1], [1.0, 3.0])
    probabilities, sigma = objective.levels.probabilities(), objective.levels.sigmas[1]
    objective.levels.forward = lambda num: sigma.expand(num)
    log = objective(Networks(lambda x, sigma, labels: torch.zeros_like(x)), torch.ones(1, 1, 2, 2), None, 0)
    loss = objective.weighting(sigma)  # the squared error of an image is 1
    assert_close(objective.levels.losses[1, 0], loss)
    assert_close(log['loss'], loss[None] / (2 * probabilities[1]))


def test_memory_is_part_of_the_checkpoint():
    objective = dict(type='EDM', levels=dict(type='LossSecondMomentLevels', num_levels=4, history=1))
    first, second = (MODELS.build(model_config(objective=objective)) for _ in range(2))
    weigh(first.objective.levels, [0, 1, 2, 3], [8.0, 4.0, 1.0, 0.5])
    second.load_state_dict(first.state_dict())
    probabilities = second.objective.levels.probabilities()
    assert len(set(probabilities.tolist())) == 4
    assert torch.equal(probabilities, first.objective.levels.probabilities())
    for model in (first, second):
        weigh(model.objective.levels, [2], [6.0])
    assert torch.equal(second.objective.levels.losses, first.objective.levels.losses)


@pytest.mark.parametrize(
    'options', [dict(num_levels=1), dict(history=0), dict(uniform=0.0), dict(uniform=1.5), dict(sigma_min=90.0)]
)
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(InputError):
        LossSecondMomentLevels(**options)
