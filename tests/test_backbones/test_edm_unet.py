import json
from functools import partial

import pytest
import torch
from torch.func import jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmcm.backbones import SongUNet
from mmcm.backbones.edm_blocks import UNetBlock
from mmcm.denoisers import FlowMapDenoiser, KarrasDenoiser
from mmcm.engine.strategies.fsdp import shard_denoisers
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from support.parity import FOLDER, Fixture, edm_config, fill

NAMES = ['ddpmpp', 'ncsnpp', 'adm']
FULL_SIZE = json.loads((FOLDER / 'state_dict_edm.json').read_text())['networks']
PREFIX = 'model.'  # of the network in EDM's preconditioning
TINY = dict(
    type='SongUNet', image_size=8, base_channels=4, num_res_blocks=1, attention_resolutions=(8,), channel_mult=(1, 2)
)


def measured(name, **changes):
    """Return EDM's denoiser around a small network with the weights of the measurements, and the measurements."""
    fixture = Fixture(f'edm_net_{name}')
    options = fixture.meta['kwargs']
    config = edm_config(options, null_class=bool(options['label_dim']), **changes)
    denoiser = KarrasDenoiser(config, boundary=False, c_noise='log(sigma) / 4').eval()
    own = {f'{PREFIX}{key}': value for key, value in denoiser.backbone.state_dict().items()}
    filled = fill({key: own[key].shape for key in own if key not in fixture.meta['kept_not_filled']})
    weights = {**own, **filled}
    denoiser.backbone.load_state_dict({key.removeprefix(PREFIX): value for key, value in weights.items()})
    return denoiser, fixture


def inputs_of(fixture, case):
    """Return the labels and augmentation labels of a measured case."""
    classes, wanted = fixture.meta['kwargs']['label_dim'], fixture.meta['cases'][case]
    labels = None
    if classes:  # without labels, the reference takes zeros
        labels = torch.full((4,), classes) if wanted['class_labels'] == 'None' else fixture('labels')
    return labels, fixture('augment_labels') if wanted['augment_labels'] else None


@pytest.mark.parametrize('name', FULL_SIZE)
def test_keys_order_and_shapes_are_those_of_the_released_weights(name):
    content = FULL_SIZE[name]
    with torch.device('meta'):
        network = MODELS.build(edm_config(content['kwargs']))
    found = [[f'{PREFIX}{key}', list(value.shape)] for key, value in network.state_dict().items()]
    assert found == [[key, shape] for key, shape, _ in content['state_dict']]
    assert sum(parameter.numel() for parameter in network.parameters()) == content['num_parameters']


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last], ids=['nchw', 'nhwc'])
@pytest.mark.parametrize('name', NAMES)
@torch.no_grad()
def test_network_and_denoiser_are_the_references(name, memory_format):
    denoiser, fixture = measured(name)
    denoiser.to(memory_format=memory_format)
    x, sigma = fixture('x').contiguous(memory_format=memory_format), fixture('sigma')
    c_in = denoiser.scalings(sigma)[2].view(-1, 1, 1, 1)
    cases = [case for case in fixture.meta['cases'] if case != 'scalar_sigma']
    for case in cases:
        labels, augment_labels = inputs_of(fixture, case)
        output = denoiser.backbone(c_in * x, fixture('c_noise'), labels, augment_labels)
        torch.testing.assert_close(output, fixture(case, 'F'), rtol=0, atol=3e-5)
        expected = fixture(case, 'D')
        bound = 3e-5 * expected.abs().max().item()
        torch.testing.assert_close(denoiser(x, sigma, labels, augment_labels), expected, rtol=0, atol=bound)
    assert len(cases) == 3 - (name != 'ddpmpp')


@pytest.mark.parametrize('name', NAMES)
def test_gradients_are_the_references_with_recomputed_activations_too(name):
    for use_checkpoint in (False, True):
        denoiser, fixture = measured(name, use_checkpoint=use_checkpoint)
        labels, augment_labels = inputs_of(fixture, 'augment' if 'augment__D' in fixture else 'plain')
        denoiser(fixture('x'), fixture('sigma'), labels, augment_labels).square().mean().backward()
        norms = fixture.meta['grad_norms_of_mean_D_squared']
        for key, parameter in denoiser.backbone.named_parameters():
            assert parameter.grad.norm().item() == pytest.approx(norms[f'{PREFIX}{key}'], rel=1e-4, abs=1e-7)


@pytest.mark.parametrize('name', NAMES)
def test_forward_mode_derivative_is_the_quotient_of_differences(name):
    denoiser, fixture = measured(name)
    network, labels = denoiser.backbone.double(), inputs_of(fixture, 'plain')[0]
    x, t = fixture('x').double(), fixture('c_noise').double()
    function = partial(network, labels=labels)
    with sdpa_kernel(SDPBackend.MATH):  # the only one with a forward-mode derivative
        _, tangent = jvp(lambda x: function(x, t), (x,), (torch.ones_like(x),))
        step = 1e-5
        quotient = (function(x + step, t) - function(x - step, t)) / (2 * step)
    torch.testing.assert_close(tangent, quotient.detach(), rtol=0, atol=1e-6 * quotient.abs().max().item())


def test_filter_of_two_equal_taps_averages_and_repeats_pixels():
    network = MODELS.build(dict(TINY))
    down, up = network.enc['4x4_down'], network.dec['8x8_up']
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(down.skip._filtered(x, 0), torch.nn.functional.avg_pool2d(x, 2))
    expected = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(up.skip._filtered(x, 0), expected)


def test_new_network_begins_next_to_the_mean_of_its_residual_branches():
    torch.manual_seed(0)
    network = MODELS.build(dict(TINY, num_classes=3, augment_dim=9, null_class=True))
    output = network(torch.randn(4, 3, 8, 8), torch.zeros(4), torch.arange(4), torch.randn(4, 9))
    assert 0 < output.abs().max() < 1e-3
    assert network.null_label == 3


def test_dropout_acts_up_to_a_resolution():
    network = MODELS.build(dict(TINY, dropout=0.3, dropout_resolution=4))
    blocks = [*network.enc.items(), *network.dec.items()]
    rates = {name: block.dropout for name, block in blocks if isinstance(block, UNetBlock)}
    assert len(rates) == 8
    assert all(rate == (0.3 if name.startswith('4') else 0) for name, rate in rates.items())


def test_half_precision_computes_in_the_dtype_of_the_weights():
    network = MODELS.build(dict(TINY, encoder='residual', embedding='fourier', resample_filter=(1, 3, 3, 1)))
    output = network.bfloat16()(torch.randn(2, 3, 8, 8), torch.zeros(2))
    assert output.dtype == torch.float32


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(image_size=(8, 16)), 'square images'),
        (dict(image_size=9), 'multiples of 2'),
        (dict(base_channels=6), 'multiple of 4'),
        (dict(base_channels=132), 'multiple of 32'),
        (dict(channel_mult=()), 'positive numbers'),
        (dict(resample_filter=(1, 2, 1)), 'even number'),
        (dict(embedding='learned'), 'embedding'),
        (dict(encoder='skip'), 'encoder'),
        (dict(null_class=True), 'set num_classes'),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        MODELS.build({**TINY, **changes})


def test_labels_have_to_be_given_exactly_to_a_network_with_classes():
    x, t = torch.zeros(1, 3, 8, 8), torch.zeros(1)
    with pytest.raises(InputError, match='labels are needed'):
        SongUNet(**{key: value for key, value in TINY.items() if key != 'type'}, num_classes=3)(x, t)
    with pytest.raises(InputError, match='unconditional'):
        MODELS.build(dict(TINY))(x, t, torch.zeros(1, dtype=torch.int64))


def test_flow_map_is_refused_for_a_network_of_one_time():
    with pytest.raises(InputError, match='num_conditions=0'):
        FlowMapDenoiser(dict(TINY))


def test_blocks_are_units_of_sharded_training():
    network = MODELS.build(dict(TINY))
    assert all(shard_denoisers(block, False, 1) for block in network.modules() if isinstance(block, UNetBlock))


@pytest.mark.parametrize('name', NAMES)
def test_embedding_stays_in_full_precision_under_autocast(name):
    denoiser, fixture = measured(name)
    labels, augment_labels = inputs_of(fixture, 'plain')
    embedded = []
    block = next(part for part in denoiser.modules() if isinstance(part, UNetBlock))
    block.register_forward_pre_hook(lambda module, inputs: embedded.append(inputs[1]))
    for enabled in (False, True):
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            denoiser(fixture('x'), fixture('sigma'), labels, augment_labels)
    assert embedded[1].dtype == torch.float32 and torch.equal(*embedded)


@pytest.mark.parametrize('kind', ['SongUNet', 'DhariwalUNet'])
def test_training_without_augmentation_leaves_no_parameter_without_a_gradient(kind):
    """DDP waits for all of them."""
    network = MODELS.build(dict(TINY, type=kind, num_classes=3, augment_dim=9)).train()
    network(torch.randn(2, 3, 8, 8), torch.zeros(2), torch.arange(2)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_branches_of_a_new_network_end_with_small_weights():
    torch.manual_seed(0)
    song, adm = (
        MODELS.build(dict(TINY, type=kind, base_channels=64, num_classes=20)) for kind in ('SongUNet', 'DhariwalUNet')
    )
    for network, largest in ((song, 1e-5), (adm, 0.0)):
        blocks = [block for block in network.modules() if isinstance(block, UNetBlock)]
        attending = [block for block in blocks if block.num_heads]
        ends = [block.conv1 for block in blocks] + [block.proj for block in attending]
        assert attending and max(end.weight.abs().max().item() for end in ends) <= largest
    qkv = next(block.qkv.weight for block in song.modules() if isinstance(block, UNetBlock) and block.num_heads)
    fan = sum(qkv.shape[:2])
    assert qkv.std().item() == pytest.approx((0.2 * 2 / fan) ** 0.5, rel=0.1)
    assert adm.map_label.weight.std().item() == pytest.approx(1, rel=0.1)
