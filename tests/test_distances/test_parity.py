"""Distances after resizing against the reference programs: losses and gradients with the toy network."""

import pytest
import torch
from torch.testing import assert_close

from mmcm.distances import L2
from mmcm.distances.lpips import prepare
from mmcm.noise.schedules import karras_sigmas
from mmcm.objectives.solvers import HeunStep, column
from support.parity import Fixture, toy_denoiser


def squared_difference_as_lpips_sees_it(a, b):
    """What the measurements `lpipsstub` put in place of LPIPS: a mean squared difference."""
    return L2()(prepare(a), prepare(b))


DISTANCES = {'l2-32': L2(size=32), 'lpipsstub': squared_difference_as_lpips_sees_it}


def check(fixture, case, online, loss):
    loss.mean().backward()
    assert_close(loss.detach(), fixture(case, 'loss'), rtol=5e-6, atol=0)
    for letter in 'Wbu':
        expected = fixture(case, f'grad_{letter}')
        gradient = getattr(online.backbone, letter).grad
        assert_close(gradient, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


@pytest.mark.parametrize('num_scales', [10, 40])
@pytest.mark.parametrize('name', DISTANCES)
@pytest.mark.parametrize('method', ['cd', 'ct'])
def test_loss_of_small_images_is_the_references(method, name, num_scales):
    fixture, common, case = Fixture('losses'), f'{method}_n{num_scales}', f'{method}_{name}_n{num_scales}'
    online = toy_denoiser(fixture, 'model', boundary=True)
    output = online(fixture(common, 'x_t'), fixture(common, 't'))
    loss = fixture(case, 'weights') * DISTANCES[name](output, fixture(common, 'distiller_target'))
    check(fixture, case, online, loss)


@pytest.mark.parametrize('num_scales', [10, 40])
def test_loss_of_images_larger_than_32_pixels_is_the_references(num_scales):
    fixture, case = Fixture('losses'), f'cd_big_l2-32_n{num_scales}'
    index, sigmas = fixture(f'big_n{num_scales}', 'indices'), karras_sigmas(num_scales).float()
    sigma, next_sigma = sigmas[index], sigmas[index + 1]
    x = fixture('big_x_start') + column(sigma) * fixture('big_noise')
    online = toy_denoiser(fixture, 'model', boundary=True)
    with torch.no_grad():
        next_x = HeunStep()(toy_denoiser(fixture, 'teacher', boundary=False), x, sigma, next_sigma)
        goal = toy_denoiser(fixture, 'target', boundary=True)(next_x, next_sigma)
    check(fixture, case, online, fixture(case, 'weights') * L2(size=32)(online(x, sigma), goal))
