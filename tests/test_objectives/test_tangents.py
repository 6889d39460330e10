import math

import pytest
import torch
from torch.testing import assert_close

from mmcm.denoisers import TrigFlowDenoiser
from mmcm.objectives import FiniteDifferenceTangent, ForwardModeTangent
from mmcm.utils.errors import InputError
from support.parity import fill

BACKBONE = dict(
    type='ADMUNet',
    image_size=8,
    in_channels=2,
    out_channels=2,
    base_channels=32,
    num_res_blocks=1,
    attention_resolutions=(4,),
    channel_mult=(1, 1),
    num_classes=3,
    scale_shift_norm=True,
)
KINDS = pytest.mark.parametrize('tangent', [ForwardModeTangent(), FiniteDifferenceTangent(step=1e-4)])


def unet(time_scale, dropout=0.0):
    """Return F(x, t) of a small U-Net with attention, classes and weights that do not vanish."""
    denoiser = TrigFlowDenoiser(dict(BACKBONE, dropout=dropout), time_scale=time_scale)
    denoiser.backbone.load_state_dict(fill({key: value.shape for key, value in denoiser.backbone.state_dict().items()}))
    labels = torch.tensor([0, 1, 2])
    return denoiser, lambda x, t: denoiser.network(x, t, labels)


def trajectory(dtype, sigma_data=0.5):
    """Return x_t / sigma_data and t on three lines from image to noise, and the direction as sCM scales it."""
    x0, noise = torch.randn(2, 3, 2, 8, 8, generator=torch.Generator().manual_seed(0), dtype=dtype)
    t = torch.tensor([0.1, 0.8, 1.4], dtype=dtype)
    cos, sin = t.cos().view(-1, 1, 1, 1), t.sin().view(-1, 1, 1, 1)
    x_t, velocity = cos * sigma_data * x0 + sin * sigma_data * noise, sigma_data * (cos * noise - sin * x0)
    return x_t / sigma_data, t, cos * sin * velocity / sigma_data, t.cos() * t.sin()


@pytest.mark.parametrize('time_scale', [None, 4.0])
def test_forward_mode_is_the_limit_of_differences_in_a_real_network(monkeypatch, time_scale):
    monkeypatch.setattr(torch.Tensor, 'float', lambda self: self)  # the embedding too in double precision
    denoiser, network = unet(time_scale)
    denoiser.double()
    arguments = trajectory(torch.float64)
    slope = ForwardModeTangent()(network, *arguments)
    x, t, x_direction, t_direction = arguments
    step = 1e-5
    with torch.no_grad():
        expected = (
            network(x + step * x_direction, t + step * t_direction)
            - network(x - step * x_direction, t - step * t_direction)
        ) / (2 * step)
    assert slope.abs().amax((1, 2, 3)).min() > 0.01
    assert_close(slope, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())
    assert_close(FiniteDifferenceTangent(step)(network, *arguments), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('time_scale, step', [(None, 3e-4), (4.0, 5e-3)])
def test_both_agree_in_single_precision(time_scale, step):
    """250 log sigma turns the fastest features of the embedding 250 times as fast as t: there the step is smaller."""
    _, network = unet(time_scale)
    exact = ForwardModeTangent()(network, *trajectory(torch.float32))
    difference = FiniteDifferenceTangent(step)(network, *trajectory(torch.float32))
    assert (difference - exact).norm() < 0.01 * exact.norm()


def test_dropout_masks_of_forward_mode_are_those_of_a_plain_pass():
    _, network = unet(4.0, dropout=0.3)

    def same_masks(x, t):
        torch.manual_seed(0)
        return network(x, t)

    arguments = trajectory(torch.float32)
    exact = ForwardModeTangent()(same_masks, *arguments)
    difference = FiniteDifferenceTangent(5e-3)(same_masks, *arguments)
    assert (difference - exact).norm() < 0.01 * exact.norm()
    other_masks = ForwardModeTangent()(network, *arguments)
    assert (other_masks - exact).norm() > 0.1 * exact.norm()


@KINDS
def test_derivative_of_a_closed_form(tangent):
    x, t = torch.tensor([2.0, 3.0]).view(2, 1, 1, 1).double(), torch.tensor([0.5, 1.0]).double()
    x_direction, t_direction = torch.full_like(x, 0.1), torch.tensor([0.2, 0.3]).double()
    slope = tangent(lambda x, t: x**2 * t.sin().view(-1, 1, 1, 1), x, t, x_direction, t_direction)
    for row, (a, b, db) in enumerate([(2.0, 0.5, 0.2), (3.0, 1.0, 0.3)]):
        assert slope[row].item() == pytest.approx(2 * a * 0.1 * math.sin(b) + a**2 * math.cos(b) * db)


@KINDS
def test_results_carry_no_gradients(tangent):
    _, network = unet(1.0)
    assert not tangent(network, *trajectory(torch.float32)).requires_grad


@KINDS
def test_network_that_does_not_depend_on_its_input_has_no_slope(tangent):
    constant = torch.ones(3, 2, 8, 8)
    assert not tangent(lambda x, t: constant, *trajectory(torch.float32)).any()


@pytest.mark.parametrize('step', [0.0, -1e-3, float('nan')])
def test_step_that_cannot_be_is_refused(step):
    with pytest.raises(InputError, match='has to be positive'):
        FiniteDifferenceTangent(step)
