"""The check that all weights pass before a network takes them."""

import pytest
import torch
from torch import nn

from mmcm.checkpoints.weight_checks import check_finite, check_numbers, check_weights
from mmcm.utils.errors import InputError
from support.digits import build

DTYPES = ['float16', 'bfloat16', 'float32', 'float64', 'float8_e5m2', 'float8_e4m3fn']


@pytest.mark.parametrize('dtype', DTYPES)
def test_finite_weights_of_any_precision_pass(dtype):
    module = nn.Linear(3, 2)
    check_weights(module, {key: value.to(getattr(torch, dtype)) for key, value in module.state_dict().items()}, 'x.pt')


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_weights_that_are_not_finite_are_refused_by_name(dtype, value):
    if dtype == 'float8_e4m3fn':
        value = float('nan')  # it has no infinities
    module = nn.Linear(3, 2)
    weights = dict(module.state_dict(), weight=torch.tensor([[0.0, value, 1.0], [value, 0.0, 2.0]]))
    weights = {key: tensor.to(getattr(torch, dtype)) for key, tensor in weights.items()}
    with pytest.raises(InputError, match=r'x.pt has NaN or infinite values in 1 of its 2 tensors: weight \(2 of 6'):
        check_weights(module, weights, 'x.pt')


def test_double_that_float32_cannot_hold_is_not_finite():
    with pytest.raises(InputError, match='NaN or infinite values in 1 of its 1 tensors'):
        check_finite({'x': torch.tensor([1e300], dtype=torch.float64)}, 'x.pt')


def test_buffers_may_be_infinite_but_not_nan():
    module = nn.Module()
    module.register_buffer('mask', torch.tensor([0.0, -float('inf')]))
    check_finite(module.state_dict(), 'x.pt', module)
    with pytest.raises(InputError, match='1 tensors: mask'):
        check_finite(dict(mask=torch.tensor([float('nan')])), 'x.pt', module)


def test_quantised_tensors_are_no_weights_whatever_the_network_is():
    counted = dict(weight=torch.zeros(2, 3), num_batches_tracked=torch.tensor(3))
    check_numbers(counted, 'x.pt')
    for dtype in (torch.int8, torch.bool, torch.complex64):
        with pytest.raises(InputError, match='1 tensors that are quantised or no weights: weight is'):
            check_numbers(dict(counted, weight=torch.zeros(2, 3, dtype=dtype)), 'x.pt')


def test_empty_and_whole_numbers_are_finite():
    check_finite(dict(empty=torch.zeros(0), count=torch.tensor(3)), 'x.pt')


@pytest.mark.parametrize(
    'names, advice',
    [
        (('down_blocks.0.resnets.0.conv1.weight',), 'UNet2DModel of diffusers: give its folder'),
        (('model.enc.32x32_conv.weight',), 'network of EDM or EDM2'),
        (('downs.0.0.block1.proj.weight',), 'denoising_diffusion_pytorch'),
        (('model.diffusion_model.input_blocks.0.0.weight',), 'latent diffusion'),
        (('something.else',), 'Choose the config that belongs to the checkpoint.'),
    ],
)
def test_networks_of_other_programs_are_called_by_name(names, advice):
    with pytest.raises(InputError, match=advice):
        check_weights(nn.Linear(3, 2), dict.fromkeys(names, torch.zeros(3)), 'x.pt')


def test_network_of_guided_diffusion_with_learned_variance_is_told():
    network = build().denoiser.backbone
    weights = network.state_dict()
    for name in ('out.2.weight', 'out.2.bias'):
        weights[name] = torch.cat([weights[name]] * 2)
    with pytest.raises(InputError, match='2 shapes differ.*a network of guided diffusion .eps and its variance.'):
        check_weights(network, weights, 'x.pt')
