import pytest
import torch
from torch.testing import assert_close

from mmcm.backbones import EDM2UNet
from mmcm.backbones.magnitude_preserving import MPConv
from mmcm.denoisers import KarrasDenoiser
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
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
