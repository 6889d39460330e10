import math

import pytest
import torch
from torch.testing import assert_close

from mmcm.backbones import magnitude_preserving
from mmcm.backbones.magnitude_preserving import (
    MPConv,
    MPFourier,
    downsample,
    mp_cat,
    mp_silu,
    mp_sum,
    normalize,
    normalize_weights,
    upsample,
)
from support.parity import Fixture

GAIN = 0.7  # of the measured convolution
OPERATIONS = {  # of the arrays a, b and c of the measurements
    'normalize_default': lambda a, b, c: normalize(a),
    'normalize_dim1': lambda a, b, c: normalize(a, [1]),
    'mp_silu': lambda a, b, c: mp_silu(a),
    'mp_sum_05': lambda a, b, c: mp_sum(a, c),
    'mp_sum_03': lambda a, b, c: mp_sum(a, c, 0.3),
    'mp_cat_05': lambda a, b, c: mp_cat(a, b),
    'mp_cat_03': lambda a, b, c: mp_cat(a, b, 0.3),
    'down_11': lambda a, b, c: downsample(a),
    'up_11': lambda a, b, c: upsample(a),
    'normalize_zero': lambda a, b, c: normalize(torch.zeros(2, 8)),
}


def measured_conv():
    fixture, layer = Fixture('edm2_ops'), MPConv(8, 5, 3)
    with torch.no_grad():
        layer.weight.copy_(fixture('conv_weight'))
    return fixture, layer


@pytest.mark.parametrize('name', OPERATIONS)
def test_agrees_with_the_operation_of_edm2(name):
    fixture = Fixture('edm2_ops')
    assert_close(OPERATIONS[name](*map(fixture, 'abc')), fixture(name), rtol=0, atol=1e-6)


def test_convolution_agrees_with_that_of_edm2():
    fixture, layer = measured_conv()
    assert_close(layer(fixture('a'), GAIN), fixture('conv_eval'), rtol=0, atol=1e-6)
    normalize_weights([layer])
    assert_close(layer.weight, fixture('conv_weight_after_train'), rtol=0, atol=1e-6)
    assert_close(layer(fixture('a'), GAIN), fixture('conv_train'), rtol=0, atol=1e-6)


def test_pass_leaves_the_weights_as_they_are():
    fixture, layer = measured_conv()
    layer.train()(fixture('a')).sum().backward()
    assert torch.equal(layer.weight, fixture('conv_weight'))


def test_gradient_is_orthogonal_to_the_filters():
    layer = MPConv(8, 5, 3)
    layer(torch.randn(2, 8, 6, 6)).square().sum().backward()
    weight, gradient = layer.weight.detach().flatten(1), layer.weight.grad.flatten(1)
    cosines = (weight * gradient).sum(1) / (weight.norm(dim=1) * gradient.norm(dim=1))
    assert float(cosines.abs().max()) < 1e-3  # it would be 0 without the epsilon, 1e-4


def unit(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


KEEP_MAGNITUDE = {
    'silu': lambda: mp_silu(unit(1000, 1000)),
    'sum': lambda: mp_sum(unit(1000, 1000), unit(1000, 1000).flip(0), 0.3),
    'cat': lambda: mp_cat(unit(1000, 300), unit(1000, 700), 0.3),
    'normalize': lambda: normalize(7 * unit(100, 64, 10, 10), [1]),
    'linear': lambda: MPConv(256, 512)(unit(2000, 256)),
    'convolution': lambda: MPConv(64, 256, 3)(unit(8, 64, 32, 32))[:, :, 1:-1, 1:-1],
    'fourier': lambda: MPFourier(512)(10 * unit(3, 2000)[0]),
}


@pytest.mark.parametrize('name', KEEP_MAGNITUDE)
def test_unit_magnitude_is_kept_within_a_hundredth(name):
    torch.manual_seed(0)
    output = KEEP_MAGNITUDE[name]().detach()
    assert math.sqrt(output.square().mean()) == pytest.approx(1, abs=0.01)


def test_features_of_the_noise_level_are_in_single_precision_in_a_network_of_half():
    layer = MPFourier(8).half()
    assert layer(torch.tensor([0.3], dtype=torch.float16)).dtype == torch.float32


def test_gain_scales_the_output():
    layer, x = MPConv(4, 3), torch.randn(2, 4)
    assert_close(layer(x, gain=torch.tensor(0.25)), layer(x) / 4)
    assert not layer(x, gain=torch.zeros([])).any()


@pytest.mark.parametrize('kernel', [None, 3])
def test_kept_filters_are_the_same_bits_and_end_with_the_block(kernel, monkeypatch):
    torch.manual_seed(0)
    layer = MPConv(6, 4, kernel)
    x = torch.randn(2, 6) if kernel is None else torch.randn(2, 6, 5, 5)
    gain = torch.tensor(0.7)
    with torch.no_grad():
        expected = layer(x, gain), layer(x.bfloat16(), gain)
    calls = []
    measure = magnitude_preserving.magnitude
    monkeypatch.setattr(magnitude_preserving, 'magnitude', lambda *given: calls.append(1) or measure(*given))
    with torch.no_grad(), magnitude_preserving.normalized_once(layer):
        found = [(layer(x, gain), layer(x.bfloat16(), gain)) for _ in range(3)]
    assert all(torch.equal(a, b) for pair in found for a, b in zip(pair, expected))
    assert len(calls) == 2  # once for each precision
    with torch.no_grad():
        layer.weight.mul_(torch.arange(1.0, 5.0).view(-1, *[1] * (layer.weight.ndim - 1)))
        layer.weight[:, 0] = 0
        changed = layer(x, gain)
    assert not torch.equal(changed, expected[0])


def test_filters_are_not_kept_where_gradients_are_asked_for():
    layer = MPConv(6, 4)
    with magnitude_preserving.normalized_once(layer):
        for _ in range(2):  # the second pass has a graph of its own
            layer(torch.ones(1, 6)).sum().backward()
        assert layer.kept == {}
    assert layer.kept is None
