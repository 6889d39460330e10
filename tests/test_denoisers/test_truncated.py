import pytest
import torch
from torch.testing import assert_close

from mmcm.denoisers import KarrasDenoiser, TruncatedDenoiser
from mmcm.samplers import MultistepSampler
from mmcm.utils.errors import InputError
from support.digits import BACKBONE, build, randomise
from support.parity import Fixture, ToyNetwork


def test_output_is_the_references():
    fixture = Fixture('tcm')
    weights = {stage: {letter: fixture(f'{stage}_{letter}') for letter in 'WbuE'} for stage in ('model', 'teacher')}
    denoiser = TruncatedDenoiser(dict(type=ToyNetwork, **weights['model']))
    denoiser.backbone.lower.load_state_dict(weights['teacher'])
    x, sigma = fixture('two_stage', 'x'), fixture('two_stage', 'sigma')
    labels = fixture('two_stage', 'labels_onehot').argmax(1)
    assert (sigma < 1).any() and (sigma >= 1).any()
    output, expected = denoiser(x, sigma, labels).detach(), fixture('two_stage', 'output')
    assert_close(output, expected, rtol=0, atol=2e-6 * expected.abs().max().item())


def two_stages():
    """Return a denoiser with two random networks, and a denoiser with each of them alone."""
    denoiser = TruncatedDenoiser(dict(BACKBONE, dropout=0.5), transition=2.0)
    alone = []
    for seed, network in enumerate((denoiser.backbone.upper, denoiser.backbone.lower)):
        randomise(network, seed)
        alone.append(KarrasDenoiser(BACKBONE, boundary=False).eval())
        alone[-1].backbone.load_state_dict(network.state_dict())
    return denoiser, *alone


@torch.no_grad()
def test_each_network_answers_on_its_side_of_the_transition():
    denoiser, upper, lower = two_stages()
    denoiser.eval()
    x, labels = torch.randn(4, 1, 8, 8), torch.arange(4)
    for sigma, one in ((1.9999, lower), (0.002, lower), (2.0, upper), (80.0, upper)):
        levels = torch.full((4,), sigma)
        assert torch.equal(denoiser(x, levels, labels), one(x, levels, labels))
    levels = torch.tensor([0.5, 2.0, 1.5, 30.0])
    mixed = denoiser(x, levels, labels)
    assert torch.equal(mixed[[0, 2]], lower(x, levels, labels)[[0, 2]])
    assert torch.equal(mixed[[1, 3]], upper(x, levels, labels)[[1, 3]])


@torch.no_grad()
def test_second_step_below_the_transition_is_that_of_the_first_stage():
    denoiser, upper, lower = two_stages()
    denoiser.eval()
    labels, called = torch.arange(2), []
    for name, network in denoiser.backbone.named_children():
        network.register_forward_hook(lambda module, inputs, output, name=name: called.append(name))
    noise = torch.randn(2, 1, 8, 8)
    sampler = MultistepSampler(sigmas=(80.0, 0.8))
    result = sampler(lambda x, sigma: denoiser(x, sigma, labels), noise, lambda x: noise)
    assert called == ['upper', 'lower']  # each step costs one network
    first = upper(noise * 80, torch.full((2,), 80.0), labels)
    second = sampler.add_noise(first, 0.8, lambda x: noise)
    assert torch.equal(result, lower(second, torch.full((2,), 0.8), labels))


def test_frozen_network_is_not_trained_and_drops_nothing_out():
    denoiser, _, lower = two_stages()
    denoiser.train()
    x, labels, low = torch.randn(2, 1, 8, 8), torch.arange(2), torch.full((2,), 0.5)
    with torch.no_grad():
        assert torch.equal(denoiser(x, low, labels), lower(x, low, labels))
    denoiser(x, torch.full((2,), 5.0), labels).sum().backward()
    assert all(parameter.grad is None for parameter in denoiser.backbone.lower.parameters())
    assert all(parameter.grad is not None for parameter in denoiser.backbone.upper.parameters())


def test_training_starts_from_the_first_stage(tmp_path):
    first = build(denoiser=dict(type='KarrasDenoiser', backbone=BACKBONE, boundary=False)).denoiser.backbone
    torch.save(first.state_dict(), tmp_path / 'first.pth')
    settings = dict(denoiser=dict(type='TruncatedDenoiser', backbone=BACKBONE), ema_decays=(0.9,))
    model = build(seed=1, **settings, init_from=str(tmp_path / 'first.pth'))
    model.init_weights()
    for denoiser in (model.denoiser, model.emas['0_9']):
        for network in (denoiser.backbone.upper, denoiser.backbone.lower):
            for key, value in first.state_dict().items():
                assert torch.equal(network.state_dict()[key], value), key
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'second.pth')
    again = build(seed=2, **settings)
    again.load_checkpoint(tmp_path / 'second.pth')
    assert torch.equal(again.denoiser.backbone.lower.out[2].weight, first.out[2].weight)
    partial = dict(checkpoint=str(tmp_path / 'first.pth'), partial=True)
    with pytest.raises(InputError, match='partial'):
        build(**settings, init_from=partial).init_weights()


def test_transition_has_to_be_positive():
    with pytest.raises(InputError, match='transition'):
        TruncatedDenoiser(BACKBONE, transition=0.0)
