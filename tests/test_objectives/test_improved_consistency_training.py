import torch
from torch.testing import assert_close

from mmcm.distances import PseudoHuber
from mmcm.noise import LognormalIndices, karras_sigmas
from mmcm.objectives import ImprovedConsistencyTraining, Networks
from support.parity import Fixture, gaussian_model


def build(num_scales=11, **options):
    return ImprovedConsistencyTraining(dict(type='FixedCurriculum', num_scales=num_scales, target_decay=0.0), **options)


def test_weights_are_kinyugos():
    fixture = Fixture('ict')
    for num_scales in (11, 81, 1281):
        sigmas = karras_sigmas(num_scales).float()
        expected = fixture(f'n{num_scales}', 'loss_weighting').flip(0)  # his levels ascend
        assert_close(build().weights(sigmas[:-1], sigmas[1:]), expected, rtol=5e-4, atol=0)


def test_parts_are_the_papers_unless_told_otherwise():
    objective = build()
    assert isinstance(objective.distance, PseudoHuber) and objective.distance.factor == 0.00054
    assert isinstance(objective.levels, LognormalIndices) and (objective.levels.mean, objective.levels.std) == (-1.1, 2)
    assert not objective.needs_target and not objective.needs_teacher


def test_goal_is_the_trained_network_without_gradients():
    denoiser = gaussian_model(mean=0.0, std=0.5)
    x0, results = torch.randn(6, 1, 2, 2, generator=torch.Generator().manual_seed(0)).double(), []
    twin = gaussian_model(mean=0.0, std=0.5)
    for networks in (Networks(denoiser), Networks(denoiser, twin)):
        torch.manual_seed(0)
        loss = build()(networks, x0, None, 0)['loss'].mean()
        results.append((loss.detach(), torch.stack(torch.autograd.grad(loss, list(denoiser.parameters())[:2]))))
    assert_close(results[0][0], results[1][0])
    assert_close(results[0][1], results[1][1])
    assert results[0][1].abs().min() > 0


def test_both_passes_see_the_same_dropout_mask():
    torch.manual_seed(0)
    masks = []

    def online(x, sigma, labels):
        masks.append(torch.rand_like(x) < 0.5)
        return x * masks[-1]

    for step in range(2):
        build()(Networks(online), torch.zeros(2, 1, 4, 4), None, step)
    assert torch.equal(masks[0], masks[1]) and torch.equal(masks[2], masks[3])
    assert not torch.equal(masks[0], masks[2])
