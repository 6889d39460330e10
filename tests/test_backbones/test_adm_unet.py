from functools import partial

import pytest
import torch
from torch.func import jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmcm.backbones import ADMUNet
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from support.digits import randomise
from support.parity import Fixture, adm_config, fill, manifest

SMALL = ['classcond', 'uncond', 'numheads']


def filled(name, **changes):
    """Return a small network with the weights of the measurements, its inputs and the measured output."""
    fixture = Fixture(f'unet_small_{name}')
    network = MODELS.build(dict(adm_config(fixture.meta['kwargs']), **changes)).eval()
    network.load_state_dict(fill({key: value.shape for key, value in network.state_dict().items()}))
    labels = fixture('y') if 'y' in fixture else None
    return network, (fixture('x'), fixture('timesteps'), labels), fixture('output')


def shapes(network):
    return [(key, tuple(value.shape)) for key, value in network.state_dict().items()]


@pytest.mark.parametrize('name', SMALL)
def test_keys_order_and_shapes_of_small_networks_are_the_references(name):
    expected, content = manifest(f'small_{name}')
    assert shapes(MODELS.build(adm_config(content['kwargs']))) == list(expected.items())


@pytest.mark.parametrize('name', ['imagenet64', 'lsun256'])
def test_keys_order_and_shapes_are_those_of_the_released_weights(name):
    expected, content = manifest(name)
    with torch.device('meta'):
        network = MODELS.build(adm_config(content['unet_model_args']))
    assert shapes(network) == list(expected.items())
    assert sum(parameter.numel() for parameter in network.parameters()) == content['num_parameters']


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last], ids=['nchw', 'nhwc'])
@pytest.mark.parametrize('name', SMALL)
@torch.no_grad()
def test_output_is_the_references(name, memory_format):
    network, (x, t, labels), expected = filled(name)
    network.to(memory_format=memory_format)
    result = network(x.contiguous(memory_format=memory_format), t, labels)
    torch.testing.assert_close(result, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize('name', SMALL)
def test_recomputing_activations_changes_neither_output_nor_gradients(name):
    results = []
    for use_checkpoint in (False, True):
        network, inputs, _ = filled(name, use_checkpoint=use_checkpoint, dropout=0.1)
        torch.manual_seed(0)
        output = network.train()(*inputs)
        output.square().mean().backward()
        results.append((output.detach(), {key: value.grad for key, value in network.named_parameters()}))
    assert torch.equal(results[1][0], results[0][0])
    assert all(torch.equal(results[1][1][key], gradient) for key, gradient in results[0][1].items())


@pytest.mark.parametrize('along_x, along_t', [(1, 0), (0, 1)])
def test_forward_mode_derivative_and_gradients_are_the_same_with_recomputed_activations(along_x, along_t):
    results = []
    for use_checkpoint in (False, True):
        network, (x, t, labels), _ = filled('classcond', use_checkpoint=use_checkpoint)
        tangents = along_x * torch.ones_like(x), along_t * torch.ones_like(t)
        with sdpa_kernel(SDPBackend.MATH):  # the only one with a forward-mode derivative
            output, tangent = jvp(partial(network, labels=labels), (x, t), tangents)
        output.square().mean().backward()
        results.append([output.detach(), tangent.detach(), *(value.grad for value in network.parameters())])
    assert results[0][1].any()
    assert all(torch.equal(*pair) for pair in zip(*results))


def test_activations_are_recomputed():
    network, inputs, _ = filled('classcond', use_checkpoint=True)
    calls = []
    network.middle_block.register_forward_pre_hook(lambda *args: calls.append(torch.is_grad_enabled()))
    output = network(*inputs)
    assert calls == [True]
    output.sum().backward()
    assert calls == [True, True]
    with torch.no_grad():
        network(*inputs)
    assert len(calls) == 3


@torch.no_grad()
def test_dropout_acts_in_training_only():
    network, inputs, expected = filled('classcond', dropout=0.5)
    torch.testing.assert_close(network(*inputs), expected, rtol=0, atol=2e-5)
    assert not torch.allclose(network.train()(*inputs), expected, atol=0.01)


@pytest.mark.parametrize('resblock_updown', [False, True])
@torch.no_grad()
def test_dropout_acts_up_to_its_resolution(resblock_updown):
    options = dict(Fixture('unet_small_uncond').meta['kwargs'], image_size=32, use_scale_shift_norm=True)
    config = dict(adm_config(options), channel_mult=(1, 1, 1), resblock_updown=resblock_updown, dropout=0.3)
    network = MODELS.build(dict(config, dropout_resolution=16)).train()
    seen = []
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.register_forward_hook(lambda module, inputs, output: seen.append((output.shape[-1], module.p)))
    network(torch.randn(1, 3, 32, 32), torch.zeros(1))
    assert {size for size, _ in seen} == {8, 16, 32}
    assert all(rate == (0.3 if size <= 16 else 0) for size, rate in seen)
    everywhere = MODELS.build(config)
    assert {module.p for module in everywhere.modules() if isinstance(module, torch.nn.Dropout)} == {0.3}
    assert shapes(network) == shapes(everywhere)
    with pytest.raises(InputError, match='dropout_resolution'):
        MODELS.build(dict(config, dropout_resolution=0))


@torch.no_grad()
def test_bfloat16_weights_compute_in_bfloat16_and_return_the_dtype_of_x():
    network, inputs, expected = filled('classcond')
    network.bfloat16()
    dtypes = set()
    blocks = *network.input_blocks, network.middle_block, *network.output_blocks
    for module in (network.time_embed, *blocks, network.out):
        module.register_forward_hook(lambda module, inputs, output: dtypes.update({inputs[0].dtype, output.dtype}))
    result = network(*inputs)
    assert dtypes == {torch.bfloat16}
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, expected, rtol=0, atol=0.1)


@torch.no_grad()
def test_new_network_returns_zeros():
    network = MODELS.build(adm_config(Fixture('unet_small_uncond').meta['kwargs']))
    assert not network(torch.randn(2, 3, 32, 32), torch.randn(2)).any()


def test_labels_have_to_fit_the_network():
    conditional, (x, t, labels), _ = filled('classcond')
    with pytest.raises(InputError, match='10 classes'):
        conditional(x, t)
    unconditional, (x, t, _), _ = filled('uncond')
    with pytest.raises(InputError, match='unconditional'):
        unconditional(x, t, labels)


@pytest.mark.parametrize(
    'changes, match',
    [
        (dict(image_size=18), 'image_size 18'),
        (dict(base_channels=48), 'got 48'),
        (dict(num_head_channels=24), 'num_head_channels 24'),
        (dict(null_class=True), 'set num_classes'),
        (dict(num_conditions=-1), 'num_conditions'),
        (dict(patch_size=3), 'image_size 16 / patch_size 3'),
        (dict(patch_size=8), 'image_size 16 / patch_size 8 cannot be halved 2 times'),
        (dict(patch_size=0), 'patch_size has to be an integer of at least 1'),
    ],
)
def test_sizes_that_cannot_be_are_refused(changes, match):
    options = dict(image_size=16, base_channels=32, channel_mult=(1, 1, 2))
    with pytest.raises(InputError, match=match):
        ADMUNet(num_res_blocks=1, attention_resolutions=(8,), **dict(options, **changes))


def test_shares_of_classes_mix_their_embeddings():
    network, (x, t, labels), output = filled('classcond')
    shares = torch.nn.functional.one_hot(labels, network.num_classes).float()
    torch.testing.assert_close(network(x, t, shares), output, atol=2e-5, rtol=0)
    half = network(x, t, (shares + shares.flip(0)) / 2)
    network.label_emb.weight.data[labels] = network.label_emb.weight.data[torch.stack([labels, labels.flip(0)])].mean(0)
    torch.testing.assert_close(network(x, t, labels), half)
    network.to(torch.bfloat16)
    assert network(x, t, shares).isfinite().all()


def test_null_class_is_one_more_row_of_the_labels():
    network, (x, t, labels), output = filled('classcond')
    plain = network.state_dict()
    network, _, _ = filled('classcond', null_class=True)
    assert network.null_label == network.num_classes == 10
    assert network.label_emb.weight.shape == (11, plain['label_emb.weight'].shape[1])
    row = torch.full_like(plain['label_emb.weight'][:1], 0.5)
    network.load_state_dict({**plain, 'label_emb.weight': torch.cat([plain['label_emb.weight'], row])})
    assert torch.equal(network(x, t, labels), filled('classcond')[0](x, t, labels))
    shares = torch.nn.functional.one_hot(labels, network.num_classes).float()
    torch.testing.assert_close(network(x, t, shares), output, atol=2e-5, rtol=0)
    assert not torch.allclose(network(x, t, torch.full_like(labels, 10)), output, atol=1e-2)


def test_networks_without_a_null_class_have_no_label_for_it():
    assert filled('classcond')[0].null_label is None and filled('uncond')[0].null_label is None


def test_conditions_start_without_effect_and_then_have_one_each():
    network, (x, t, labels), _ = filled('classcond')
    expected, weights = network(x, t, labels), network.state_dict()
    network = MODELS.build(dict(adm_config(Fixture('unet_small_classcond').meta['kwargs']), num_conditions=2)).eval()
    more = [key for key in network.state_dict() if key not in weights]
    assert more == [f'condition_embed.{i}.{j}.{kind}' for i in (0, 1) for j in (0, 2) for kind in ('weight', 'bias')]
    network.load_state_dict(weights, strict=False)
    conditions = torch.rand(len(x), 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(network(x, t, labels, conditions=conditions), expected)
    randomise(network.condition_embed)
    results = [network(x, t, labels, conditions=conditions)]
    for index in (0, 1):
        changed = conditions.clone()
        changed[:, index] += 1
        results.append(network(x, t, labels, conditions=changed))
    results.append(network(x, t, labels, conditions=conditions.flip(1)))
    assert not any(torch.allclose(a, b, atol=1e-4) for i, a in enumerate(results) for b in results[:i])


def test_conditions_are_given_exactly_when_the_network_has_some():
    network, (x, t, labels), _ = filled('classcond')
    with pytest.raises(InputError, match='takes 0 further conditions, got 1'):
        network(x, t, labels, conditions=t[:, None])
    network, _, _ = filled('classcond', num_conditions=1)
    with pytest.raises(InputError, match='takes 1 further conditions, got None'):
        network(x, t, labels)


@torch.no_grad()
def test_patches_enter_and_leave_as_channels():
    settings = dict(base_channels=32, num_res_blocks=1, attention_resolutions=(4,), channel_mult=(1, 2), num_classes=3)
    patched = ADMUNet(image_size=16, in_channels=1, out_channels=2, patch_size=2, **settings)
    plain = ADMUNet(image_size=8, in_channels=4, out_channels=8, **settings)
    plain.load_state_dict(fill({key: value.shape for key, value in plain.state_dict().items()}))
    patched.load_state_dict(plain.state_dict())
    x, t, labels = torch.randn(3, 1, 16, 16), torch.randn(3), torch.arange(3)
    # Channel 2 r + c of an image is the pixel in row r and column c of each patch.
    inputs = torch.cat([x[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1)], dim=1)
    outputs = plain(inputs, t, labels)
    result = patched(x, t, labels)
    assert result.shape == (3, 2, 16, 16)
    for channel in range(2):
        for row in (0, 1):
            for column in (0, 1):
                expected = outputs[:, 4 * channel + 2 * row + column]
                assert torch.equal(result[:, channel, row::2, column::2], expected)


NON_SQUARE = dict(
    type='ADMUNet',
    base_channels=32,
    num_res_blocks=1,
    attention_resolutions=(4,),
    channel_mult=(1, 2),
    resblock_updown=True,
)


@torch.no_grad()
def test_network_for_other_proportions_has_the_weights_of_a_square_one_and_works_on_both():
    square, wide = (MODELS.build(dict(NON_SQUARE, image_size=size)).eval() for size in (8, (8, 12)))
    assert shapes(wide) == shapes(square)
    weights = fill({key: value.shape for key, value in square.state_dict().items()})
    square.load_state_dict(weights)
    wide.load_state_dict(weights)
    assert square.image_size == 8 and wide.image_size == (8, 12)
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([-100.0, 500.0])
    assert torch.equal(wide(x, t), square(x, t))
    assert wide(torch.randn(2, 3, 8, 12), t).shape == (2, 3, 8, 12)


@pytest.mark.parametrize('size', [(8, 8), [8, 8]])
def test_pair_of_equal_sides_is_a_square(size):
    network = MODELS.build(dict(NON_SQUARE, image_size=size))
    assert network.image_size == 8 and isinstance(network.image_size, int)


@torch.no_grad()
def test_transposed_images_have_transposed_outputs():
    # Convolutions and groups see rows and columns alike once their kernels are transposed, too.
    wide, upright = (MODELS.build(dict(NON_SQUARE, image_size=size)).double().eval() for size in ((8, 12), (12, 8)))
    weights = {key: value.double() for key, value in fill(dict(shapes(wide))).items()}
    wide.load_state_dict(weights)
    upright.load_state_dict(
        {key: value.transpose(2, 3) if value.ndim == 4 else value for key, value in weights.items()}
    )
    x, t = torch.randn(1, 3, 8, 12, dtype=torch.float64), torch.tensor([100.0])
    torch.testing.assert_close(upright(x.transpose(2, 3), t), wide(x, t).transpose(2, 3), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    'size, nearest',
    [
        ((50, 96), r'\(48, 96\) or \(56, 96\)'),
        (50, '48 or 56'),
        ((3, 8), '8,'),
        ((62, 66), r'\(56, 64\) or \(64, 72\)'),
    ],
)
def test_size_that_cannot_be_halved_is_refused_with_the_nearest_ones(size, nearest):
    with pytest.raises(InputError, match=f'multiples of 8. Take {nearest}'):
        MODELS.build(dict(NON_SQUARE, image_size=size, channel_mult=(1, 1, 1, 1)))
