import itertools

import pytest
import torch

from mmcm.objectives import ConsistencyDistillation, ConsistencyTraining, Networks
from mmcm.utils.errors import InputError
from support.parity import Fixture, gaussian_consistency, gaussian_denoiser, toy_denoiser

KINDS = pytest.mark.parametrize('kind', [ConsistencyDistillation, ConsistencyTraining])


def objective(kind, num_scales=10, **options):
    return kind(dict(type='FixedCurriculum', num_scales=num_scales, target_decay=0.9), dict(type='L1'), **options)


class Dropout:
    """A network that drops half of its features, and remembers which."""

    def __init__(self):
        self.masks = []

    def __call__(self, x, sigma, labels):
        self.masks.append(torch.rand_like(x) < 0.5)
        return x * self.masks[-1]


@KINDS
def test_online_and_target_see_the_same_dropout_mask(kind):
    torch.manual_seed(0)
    online, target, teacher = Dropout(), Dropout(), Dropout()
    for step in range(2):
        objective(kind)(Networks(online, target, teacher), torch.zeros(2, 1, 4, 4), None, step)
    for online_mask, target_mask in zip(online.masks, target.masks):
        assert torch.equal(online_mask, target_mask)
    assert not torch.equal(online.masks[0], online.masks[1])


@KINDS
def test_only_the_online_network_gets_gradients(kind):
    fixture = Fixture('losses')
    networks = Networks(*(toy_denoiser(fixture, name, boundary=True) for name in ('model', 'target', 'teacher')))
    objective(kind)(networks, fixture('x_start'), None, 0)['loss'].mean().backward()
    assert all(parameter.grad is not None for parameter in networks.online.parameters())
    for frozen in (networks.target, networks.teacher):
        assert all(parameter.grad is None for parameter in frozen.parameters())


@KINDS
def test_every_network_gets_the_labels(kind):
    seen = {}

    def network(name):
        def denoise(x, sigma, labels):
            seen[name] = labels
            return x

        return denoise

    labels = torch.tensor([3, 5])
    objective(kind)(Networks(*map(network, ('online', 'target', 'teacher'))), torch.zeros(2, 1, 2, 2), labels, 0)
    assert set(seen) == {'online', 'target', *(['teacher'] if kind.needs_teacher else [])}
    assert all(given is labels for given in seen.values())


def mean_distillation_loss(num_scales):
    """Return the loss of the exact consistency function of N(0, 0.5^2), averaged over all intervals."""
    x0 = 0.5 * torch.randn(num_scales - 1, 1, 8, 8, dtype=torch.float64)
    subject = objective(ConsistencyDistillation, num_scales)
    subject.levels = lambda sigmas, num: torch.arange(num)

    def exact(x, sigma, labels):
        return gaussian_consistency(x, sigma)

    def teacher(x, sigma, labels):
        return gaussian_denoiser(x, sigma)

    return subject(Networks(exact, exact, teacher), x0, None, 0)['loss'].mean().item()


def test_exact_consistency_function_leaves_the_error_of_the_solver_alone():
    """Song et al. (2023, Theorem 1): the error of a step of Heun's method, which falls with its third power."""
    torch.manual_seed(0)
    losses = [mean_distillation_loss(num_scales) for num_scales in (161, 321, 641)]
    assert losses[-1] < 1e-6
    for coarse, fine in itertools.pairwise(losses):
        assert coarse / fine == pytest.approx(8, rel=0.15)


def test_training_pairs_share_image_and_noise(monkeypatch):
    x0, noise = torch.randn(2, 9, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(torch, 'randn_like', lambda x: noise)
    seen = []

    def network(x, sigma, labels):
        seen.append((x, sigma))
        return x

    subject = objective(ConsistencyTraining, sigma_min=0.1, sigma_max=2.0)
    subject.levels = lambda sigmas, num: torch.arange(num)
    subject(Networks(network, network), x0, None, 0)
    (_, next_sigma), (_, sigma) = seen  # the goal comes first
    assert sigma[0] == 2 and next_sigma[-1].item() == pytest.approx(0.1)
    assert torch.equal(sigma[1:], next_sigma[:-1]) and (next_sigma < sigma).all()
    for x, level in seen:
        torch.testing.assert_close(x, x0 + level.view(-1, 1, 1, 1) * noise)


def test_curriculum_sets_the_scales_and_the_decay_of_the_step():
    counts = []

    def levels(sigmas, num):
        counts.append(len(sigmas))
        return torch.zeros(num, dtype=torch.int64)

    curriculum = dict(
        type='ProgressiveCurriculum', start_scales=2, end_scales=200, total_steps=100, start_decay=0.95, adaptive=False
    )
    subject = ConsistencyTraining(curriculum, dict(type='L2'))
    subject.levels = levels
    networks = Networks(*[lambda x, sigma, labels: x] * 2)
    logs = [subject(networks, torch.zeros(1, 1, 2, 2), None, step) for step in (0, 100)]
    assert counts == [log['num_scales'].item() for log in logs] == [2, 201]
    assert logs[0]['target_decay'].item() == pytest.approx(subject.target_decay(0)) == pytest.approx(0.95)


@KINDS
def test_range_that_cannot_be_is_refused(kind):
    with pytest.raises(InputError, match='sigma_min 3.0, sigma_max 2.0'):
        objective(kind, sigma_min=3.0, sigma_max=2.0)


@KINDS
def test_nothing_waits_for_the_backward_pass_while_the_goal_is_computed(kind):
    order = []

    def network(name):
        def denoise(x, sigma, labels):
            order.append((name, torch.is_grad_enabled()))
            return x

        return denoise

    objective(kind)(Networks(*map(network, ('online', 'target', 'teacher'))), torch.zeros(2, 1, 2, 2), None, 0)
    assert order[-2:] == [('target', False), ('online', True)]
