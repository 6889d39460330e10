import pytest
import torch
from torch.testing import assert_close

from mmcm.noise import karras_sigmas
from mmcm.objectives import Networks, ProgressiveDistillation
from mmcm.utils.errors import InputError
from support.parity import Fixture, gaussian_denoiser, toy_denoiser

MEAN, STD = 0.3, 0.2
RANGE = dict(sigma_min=0.05, sigma_max=20.0, rho=5.0)


def build(start_steps=8, stage_length=10, **options):
    curriculum = dict(type='HalvingCurriculum', start_steps=start_steps, stage_length=stage_length)
    return ProgressiveDistillation(curriculum, dict(type='L2'), **options)


def test_goal_leads_where_two_steps_of_the_exact_teacher_lead(monkeypatch):
    """Euler's step scales the distance from the mean by 1 + (s' - s) s / (s^2 + std^2) for data N(mean, std^2)."""
    index = torch.arange(8)
    monkeypatch.setattr(torch, 'randint', lambda high, size, device: index)
    objective = build(**RANGE)
    seen = []
    objective.distance = lambda estimate, goal: seen.append((estimate, goal)) or torch.zeros(len(goal))
    denoisers = dict(
        online=lambda x, sigma, labels: x, teacher=lambda x, sigma, labels: gaussian_denoiser(x, sigma, MEAN, STD)
    )
    objective(Networks(**denoisers), torch.ones(8, 1, 2, 2).double(), None, 0)
    ((x, goal),) = seen

    def factor(a, b):
        return 1 + (b - a) * a / (a**2 + STD**2)

    sigmas = karras_sigmas(17, **RANGE)  # the teacher's steps: two for each of the 8
    sigma, mid_sigma, next_sigma = (column(sigmas[2 * index + shift]) for shift in range(3))
    next_x = MEAN + (x - MEAN) * factor(sigma, mid_sigma) * factor(mid_sigma, next_sigma)
    assert_close(x + (next_sigma - sigma) / sigma * (x - goal), next_x)  # one step towards the goal
    assert next_sigma[-1].item() == pytest.approx(0.05)


def column(sigma):
    return sigma.view(-1, 1, 1, 1)


@pytest.mark.parametrize('stage, num_steps', [(0, 8), (1, 4), (2, 2), (3, 2), (4, 1), (9, 1)])
def test_each_interval_of_the_stage_is_trained(stage, num_steps):
    torch.manual_seed(0)
    objective = build(**RANGE)
    seen = []

    def online(x, sigma, labels):
        seen.append(sigma)
        return x

    log = objective(Networks(online, teacher=lambda x, sigma, labels: x), torch.zeros(200, 1, 1, 1), None, 10 * stage)
    expected = karras_sigmas(num_steps + 1, **RANGE)[:-1].float()
    assert_close(seen[0].unique(), expected.flip(0))
    assert log['num_steps'].item() == num_steps


def test_teacher_is_renewed_where_the_steps_are_halved():
    renewals = [step for step in range(100) if build().renews_teacher(step)]
    assert renewals == [10, 20, 40]  # 8, 4, 2 for two stages' time, 1


def test_only_the_online_network_gets_gradients_and_all_get_the_labels():
    fixture = Fixture('losses')
    labels, seen = torch.arange(4), []
    online, teacher = (toy_denoiser(fixture, name, boundary=False) for name in ('model', 'teacher'))
    for network in (online, teacher):
        network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[2]))
    build()(Networks(online, teacher=teacher), fixture('x_start'), labels, 0)['loss'].mean().backward()
    assert all(parameter.grad is not None for parameter in online.parameters())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert len(seen) == 3 and all(given is labels for given in seen)


def test_range_that_cannot_be_is_refused():
    with pytest.raises(InputError, match='sigma_min 3.0, sigma_max 2.0'):
        build(sigma_min=3.0, sigma_max=2.0)
