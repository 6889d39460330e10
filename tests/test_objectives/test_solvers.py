import pytest
import torch
from torch.testing import assert_close

from mmcm.objectives import EulerStep, HeunStep
from support.parity import gaussian_consistency, gaussian_denoiser


def draw():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 2, 4, 4, generator=generator, dtype=torch.float64), torch.tensor([80.0, 2.0, 0.5]).double()


@pytest.mark.parametrize('solver', [EulerStep(), HeunStep()])
def test_step_towards_a_known_image_is_exact(solver):
    noise, sigma = draw()
    next_sigma = sigma * torch.tensor([0.5, 0.1, 0.9])
    x0 = torch.ones_like(noise)
    next_x = solver(lambda x, sigma: x0, x0 + sigma.view(-1, 1, 1, 1) * noise, sigma, next_sigma)
    assert_close(next_x, x0 + next_sigma.view(-1, 1, 1, 1) * noise)


def test_euler_follows_the_tangent():
    x, sigma = draw()
    next_x = EulerStep()(lambda x, sigma: x / 4, x, sigma, sigma / 2)
    assert_close(next_x, x * (1 - 3 / 4 / 2))  # slope 3/4 x / sigma, over -sigma / 2


def test_heun_averages_the_tangents_at_both_ends():
    x, sigma = draw()
    next_x = HeunStep()(lambda x, sigma: x / 4, x, sigma, sigma / 2)
    # slopes times sigma: 3/4 x, and 3/4 of Euler's 5/8 x at half the level
    assert_close(next_x, x * (1 - (3 / 4 + 3 / 4 * 5 / 8 * 2) / 4))


@pytest.mark.parametrize('solver, order', [(EulerStep(), 1), (HeunStep(), 2)])
def test_error_of_a_step_falls_with_the_order_of_the_method(solver, order):
    x, sigma = draw()
    errors = []
    for share in (0.02, 0.01):
        next_sigma = sigma * (1 - share)
        next_x = solver(gaussian_denoiser, x, sigma, next_sigma)
        # the consistency function is constant on a trajectory of the ODE
        error = gaussian_consistency(next_x, next_sigma) - gaussian_consistency(x, sigma)
        errors.append(error.abs().flatten(1).mean(1))
    assert_close(errors[0] / errors[1], torch.full((3,), 2.0 ** (order + 1)).double(), rtol=0.05, atol=0)
