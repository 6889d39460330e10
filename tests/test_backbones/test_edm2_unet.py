import pytest
import torch
from torch.testing import assert_close

from mmcm.backbones import EDM2UNet
from mmcm.denoisers import KarrasDenoiser
from mmcm.utils.errors import InputError
from support.digits import EDM2
from support.parity import Fixture, edm2_config, fill

NETWORKS = ['edm2_net_cond', 'edm2_net_uncond']


def measured(name):
    """Return the measurements, the denoiser with their weights, its inputs and labels."""
    fixture = Fixture(name)
    denoiser = KarrasDenoiser(edm2_config(fixture.meta['kwargs']), boundary=False, c_noise='log(sigma) / 4')
    weights = fill({key: shape for key, shape, _ in fixture.meta['keys']})
    denoiser.backbone.load_state_dict(weights)
    labels = fixture('labels') if 'labels' in fixture else None
    return fixture, denoiser.eval(), (fixture('x'), fixture('sigma'), labels)


@pytest.mark.parametrize('name', NETWORKS)
def test_keys_are_those_of_edm2_in_order(name):
    fixture, denoiser, _ = measured(name)
    found = [[key, list(value.shape), 'float32'] for key, value in denoiser.backbone.state_dict().items()]
    assert found == fixture.meta['keys']
    assert sum(value.numel() for value in denoiser.backbone.parameters()) == fixture.meta['num_parameters']


@pytest.mark.parametrize('name', NETWORKS)
def test_agrees_with_edm2_in_evaluation(name):
    fixture, denoiser, (x, sigma, labels) = measured(name)
    c_in = denoiser.scalings(sigma)[2].view(-1, 1, 1, 1)
    assert_close(denoiser.backbone(c_in * x, fixture('c_noise'), labels), fixture('eval', 'F'), rtol=0, atol=3e-5)
    assert_close(denoiser(x, sigma, labels), fixture('eval', 'D'), rtol=3e-5, atol=3e-5)
    assert_close(denoiser.backbone.log_variance(fixture('c_noise')), fixture('eval', 'logvar'), rtol=0, atol=1e-5)


def test_embeddings_agree_with_edm2():
    fixture, denoiser, (_, _, labels) = measured('edm2_net_cond')
    network, c_noise = denoiser.backbone, fixture('c_noise')
    assert_close(network.unet.emb_fourier(c_noise), fixture('parts', 'fourier'), rtol=0, atol=1e-5)
    assert_close(network.logvar_fourier(c_noise), fixture('parts', 'logvar_fourier'), rtol=0, atol=1e-5)
    embedding = network.unet.emb_noise(network.unet.emb_fourier(c_noise))
    assert_close(embedding, fixture('parts', 'emb_noise'), rtol=0, atol=1e-5)
    one_hot = torch.nn.functional.one_hot(labels, 10).float()
    assert_close(network.unet.emb_label(one_hot * 10**0.5), fixture('parts', 'emb_label'), rtol=0, atol=1e-5)


def test_null_label_is_the_network_of_edm2_without_labels():
    fixture, denoiser, (x, sigma, _) = measured('edm2_net_cond')
    null = torch.full((len(x),), denoiser.null_label)
    assert_close(denoiser(x, sigma, null), fixture('eval_nolabel', 'D'), rtol=3e-5, atol=3e-5)


def test_shares_of_classes_are_as_good_as_their_indices():
    _, denoiser, (x, sigma, labels) = measured('edm2_net_cond')
    shares = torch.nn.functional.one_hot(labels, 10).float()
    assert torch.equal(denoiser(x, sigma, shares), denoiser(x, sigma, labels))


@pytest.mark.parametrize('name', NETWORKS)
def test_training_agrees_with_edm2(name):
    fixture, denoiser, inputs = measured(name)
    network, c_noise = denoiser.train().backbone, fixture('c_noise')
    network.normalize_weights()
    output, log_variance = denoiser(*inputs), network.log_variance(c_noise)
    assert_close(output, fixture('train', 'D'), rtol=3e-5, atol=3e-5)
    assert_close(log_variance, fixture('train', 'logvar'), rtol=0, atol=1e-5)
    for key, value in network.named_parameters():
        expected = fixture.meta['weights_after_one_train_forward'].get(key)
        if f'weight_after_train_forward__{key}' in fixture:
            assert_close(value.detach(), fixture('weight_after_train_forward', key), rtol=0, atol=1e-6)
        if expected is not None:
            sizes = value.detach().double().flatten(1).norm(dim=1)
            assert_close(sizes.max().item(), expected['row_norm_max'], rtol=1e-5, atol=0)
            assert_close(sizes.min().item(), expected['row_norm_min'], rtol=1e-5, atol=0)
    (output.square().mean() + log_variance.mean()).backward()
    norms = {key: value.grad.norm().item() for key, value in network.named_parameters()}
    assert norms == pytest.approx(fixture.meta['train_grad_norms_of_mean_D2_plus_mean_logvar'], rel=2e-3, abs=1e-6)
    key = 'unet.out_conv.weight'
    assert_close(network.get_parameter(key).grad, fixture('train_grad', key), rtol=1e-3, atol=1e-6)
    network.normalize_weights()
    assert_close(denoiser(*inputs), fixture('train_second', 'D'), rtol=3e-5, atol=3e-5)
    assert_close(denoiser.eval()(*inputs), fixture('eval_after_train', 'D'), rtol=3e-5, atol=3e-5)


@pytest.mark.parametrize('name', NETWORKS)
def test_gradients_in_evaluation_agree_with_edm2(name):
    fixture, denoiser, inputs = measured(name)
    (denoiser(*inputs).square().mean() + denoiser.backbone.log_variance(fixture('c_noise')).mean()).backward()
    norms = {key: value.grad.norm().item() for key, value in denoiser.backbone.named_parameters()}
    assert norms == pytest.approx(fixture.meta['eval_grad_norms_of_mean_D2_plus_mean_logvar'], rel=1e-4)


def small(**changes):
    torch.manual_seed(0)
    network = EDM2UNet(**{key: value for key, value in {**EDM2['backbone'], **changes}.items() if key != 'type'})
    with torch.no_grad():  # gains start at zero
        for value in network.parameters():
            if value.ndim == 0:
                value.fill_(0.7)
    return network


def inputs(network, num=2):
    torch.manual_seed(1)
    labels = None if network.num_classes is None else torch.arange(num)
    sides = network.image_size if isinstance(network.image_size, tuple) else 2 * (network.image_size,)
    return torch.randn(num, network.in_channels, *sides), torch.linspace(-1, 1, num), labels


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(num_classes=None, null_class=True), 'set num_classes'),
        (dict(channel_mult=()), 'channel_mult has to be of positive numbers'),
        (dict(image_size=9), 'cannot be halved'),
        (dict(num_head_channels=12), 'num_head_channels has to divide'),
        (dict(base_channels=0), 'base_channels'),
        (dict(clip=0.0), 'clip'),
        (dict(dropout_resolution=0), 'dropout_resolution'),
    ],
)
def test_settings_that_fit_no_network_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        small(**changes)


def test_labels_are_needed_exactly_by_networks_with_classes():
    x, t, labels = inputs(small())
    with pytest.raises(InputError, match='labels are needed'):
        small()(x, t)
    with pytest.raises(InputError, match='the network is unconditional'):
        small(num_classes=None)(x, t, labels)


@pytest.mark.parametrize('size', [(8, 12), (12, 8)])
def test_images_need_not_be_square(size):
    network = small(image_size=size)
    x, t, labels = inputs(network)
    assert network(x, t, labels).shape == x.shape
    assert f'{size[0]}x{size[1]}_conv' in network.unet.enc


def test_network_computes_in_its_own_precision_and_any_memory_format():
    network = small().eval()
    x, t, labels = inputs(network)
    expected = network(x, t, labels)
    strided = network(x.contiguous(memory_format=torch.channels_last), t, labels)
    assert_close(strided, expected, rtol=0, atol=1e-5)
    double = small().double().eval()(x.double(), t.double(), labels)
    assert double.dtype == torch.float64
    assert_close(double.float(), expected, rtol=0, atol=1e-4)  # frequencies and angles stay in single precision
    half = small().bfloat16().eval()(x, t, labels)
    assert half.dtype == torch.float32 and (half - expected).abs().max() < 0.1
    embedded = []
    network.unet.enc['8x8_block0'].register_forward_pre_hook(lambda module, inputs: embedded.append(inputs[1]))
    network(x, t, labels)
    with torch.autocast('cpu', torch.bfloat16):
        assert (network(x, t, labels) - expected).abs().max() < 0.1
        log_variance = network.log_variance(t)
    assert torch.equal(*embedded)  # of time and class, in float32 in both cases
    assert torch.equal(log_variance, network.log_variance(t))


def test_recomputed_activations_give_the_same_gradients():
    gradients = []
    for use_checkpoint in (False, True):
        network = small(use_checkpoint=use_checkpoint, dropout=0.5)
        x, t, labels = inputs(network)
        torch.manual_seed(2)
        network(x, t, labels).square().mean().backward()
        gradients.append(network.unet.out_conv.weight.grad)
    assert_close(*gradients, rtol=0, atol=0)


@pytest.mark.parametrize('largest, dropping', [(None, {'8x8', '4x4'}), (4, {'4x4'}), (2, set())])
def test_dropout_acts_up_to_a_resolution(largest, dropping):
    network = small(dropout=0.5, dropout_resolution=largest)
    blocks = {**network.unet.enc, **network.unet.dec}
    assert {name.split('_')[0] for name, block in blocks.items() if getattr(block, 'dropout', 0.0)} == dropping


def test_new_network_begins_with_zero():
    network = EDM2UNet(**{key: value for key, value in EDM2['backbone'].items() if key != 'type'})
    assert not network(*inputs(network)).any()


def test_output_of_each_block_is_clipped():
    network = small(clip=0.01)
    largest = []
    for block in (network.unet.enc['8x8_block0'], network.unet.dec['8x8_block0']):
        block.register_forward_hook(lambda module, inputs, output: largest.append(output.abs().max().item()))
    network(*inputs(network))
    assert largest == pytest.approx([0.01, 0.01])


@pytest.mark.parametrize('size', [(8, 12), (12, 8)])
def test_shorter_sides_choose_the_maps_with_attention(size):
    network = small(image_size=size, attention_resolutions=(8,), dropout=0.5, dropout_resolution=8)
    first = network.unet.enc[f'{size[0]}x{size[1]}_block0']
    assert first.num_heads and first.dropout == 0.5
