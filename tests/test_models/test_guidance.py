import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch.testing import assert_close

from mmcm.apis import ConsistencyModelInferencer
from mmcm.checkpoints.write import write_safetensors
from mmcm.denoisers.guidance import NO_GUIDANCE, Guidance
from mmcm.models.guidance import GuidedDenoiser, check_guided, guided, guided_nfe
from mmcm.noise.generators import SampleNoise
from mmcm.operators import Inpainting
from mmcm.registry import SAMPLERS
from mmcm.samplers import FlowMapSampler, HeunSampler, MultistepSampler
from mmcm.utils.errors import InputError
from support.digits import BACKBONE, build, model_config
from support.parity import Fixture, ReplayedNoise, gaussian_denoiser

NULL = 10
KARRAS = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, null_class=True), boundary=False)
FLOW_MAP = dict(type='FlowMapDenoiser', backbone=dict(BACKBONE, null_class=True, num_conditions=1))
SAMPLERS_TO_GUIDE = [
    dict(type='MultistepSampler', sigmas=(80.0, 1.5)),
    dict(type='HeunSampler', num_steps=3),
    dict(type='HeunSampler', num_steps=2, s_churn=10.0),
    dict(type='DPM2Sampler', num_steps=2),
    dict(type='EulerSampler', num_steps=2),
    dict(type='EulerAncestralSampler', num_steps=2),
    dict(type='ProgressiveDistillationSampler', num_steps=2),
]


def by_variance(variances, seen=None):
    """The denoiser of data N(0, v) of classes with these variances."""
    variances = torch.tensor(variances, dtype=torch.float64)

    def denoise(x, sigma, labels):
        if seen is not None:
            seen.append((x, sigma, labels))
        variance = variances.to(x.dtype)[labels].view(-1, 1, 1, 1)
        return x * variance / (sigma.view(-1, 1, 1, 1) ** 2 + variance)

    return denoise


def sizes_of_calls(model):
    """Return a list that gets the batch size of each call of the network."""
    sizes = []
    model.inference_denoiser.backbone.register_forward_hook(lambda module, given, output: sizes.append(len(given[0])))
    return sizes


@pytest.mark.parametrize('case', ['guided_1.7', 'guided_0.5', 'guided_interval', 'churn_guided', 'float64'])
def test_agrees_with_the_sampler_of_edm2(case):
    fixture = Fixture('edm2_sampler')
    options = fixture.meta['cases'][case]
    names = dict(S_churn='s_churn', S_min='s_tmin', S_max='s_tmax', S_noise='s_noise')
    churn = {ours: options[theirs] for theirs, ours in names.items() if theirs in options}
    dtype = getattr(torch, options.get('dtype', 'float32'))
    seen = []
    # The class k has the variance 0.25 + 0.1 k, and images of no given class 0.4.
    denoiser = by_variance([0.25, 0.35, 0.45, 0.4], seen)
    denoise = guided(denoiser, Guidance(options['guidance'], options.get('interval')), null_label=3)
    labels = fixture('labels_onehot').argmax(1)
    sampler, noise = HeunSampler(num_steps=options['num_steps'], **churn), None
    if churn:  # EDM2 draws noise only where it adds it, our sampler in each step
        drawn, none = iter(fixture(case, 'noises')), torch.zeros(3, 3, 8, 8)
        levels = sampler.levels(dtype)[:-1]
        noise = ReplayedNoise([next(drawn) if sampler.s_tmin <= each <= sampler.s_tmax else none for each in levels])
    result = sampler(lambda x, sigma: denoise(x, sigma, labels), fixture('latents').to(dtype), noise)
    expected = fixture(case, 'output')
    # The measured output of the float64 case has rounding of single precision in it, 4e-7 here.
    assert_close(result, expected, rtol=0, atol=1e-6 if dtype == torch.float64 else 3e-5)
    assert len(seen) == len(fixture(case, 'net_sigma')) == sampler.nfe
    if case == 'guided_interval':
        assert [len(x) for x, _, _ in seen] == [6 if 0.19 < sigma <= 1.61 else 3 for _, (sigma, *_), _ in seen]


@pytest.mark.parametrize('scale', [0.0, 0.5, 2.5])
def test_guided_endpoint_of_gaussian_classes(scale):
    """Slopes w x / (sigma^2 + a) + (1 - w) x / (sigma^2 + b), times sigma, have a solution in closed form."""
    own, other, top = 0.3, 0.7, 10.0
    denoise = guided(by_variance([own, other]), Guidance(scale), null_label=1)
    latents = torch.linspace(-2, 2, 5).double().view(-1, 1, 1, 1)
    labels = torch.zeros(5, dtype=torch.int64)
    sampler = HeunSampler(num_steps=200, sigma_max=top, sigma_min=1e-4)
    found = sampler(lambda x, sigma: denoise(x, sigma, labels), latents, None)
    shrunk = (own / (own + top**2)) ** (scale / 2) * (other / (other + top**2)) ** ((1 - scale) / 2)
    assert_close(found, top * latents * shrunk, rtol=1e-3, atol=0)  # Heun's error, of the square of a step


@pytest.mark.parametrize('label', [0, 1])
def test_guided_endpoint_of_a_mixture_of_two_classes(label):
    """Two equal classes N(+-m, s^2), of which conditional and unconditional estimates are known.

    The score of the mixture has the mean m tanh(m x / (sigma^2 + s^2)). The slope is written down here once more, and
    solved by scipy.
    """
    mean, std, scale, top = 0.5, 0.2, 2.0, 10.0

    def denoise(x, sigma, labels):
        variance = sigma.view(-1, 1, 1, 1) ** 2 + std**2
        sides = torch.tensor([-1.0, 1.0, 0.0], dtype=x.dtype)[labels].view(-1, 1, 1, 1)
        centre = mean * torch.where((labels == 2).view(-1, 1, 1, 1), (mean * x / variance).tanh(), sides)
        return gaussian_denoiser(x, sigma, centre, std)

    def slope(sigma, x):
        variance = sigma**2 + std**2
        side = 2 * label - 1
        return sigma / variance * (x - mean * (scale * side + (1 - scale) * np.tanh(mean * x / variance)))

    latents = torch.linspace(-2, 2, 7).double()
    expected = solve_ivp(slope, (top, 0), top * latents.numpy(), method='DOP853', rtol=1e-11, atol=1e-12).y[:, -1]
    network = guided(denoise, Guidance(scale), null_label=2)
    labels = torch.full((7,), label)
    errors = []
    for num_steps in (100, 200):
        sampler = HeunSampler(num_steps=num_steps, sigma_max=top, sigma_min=1e-4)
        found = sampler(lambda x, sigma: network(x, sigma, labels), latents.view(-1, 1, 1, 1), None)
        errors.append((found.flatten() - torch.from_numpy(expected)).abs().max().item())
    assert errors[1] < 1e-3 and errors[1] < errors[0] / 3  # of second order
    plain = HeunSampler(num_steps=200, sigma_max=top)(
        lambda x, sigma: denoise(x, sigma, labels), latents.view(-1, 1, 1, 1), None
    )
    assert (plain.flatten() - torch.from_numpy(expected)).abs().max() > 0.1  # which guidance has moved


@pytest.mark.parametrize('config', SAMPLERS_TO_GUIDE, ids=lambda config: '-'.join(map(str, config.values())))
def test_any_sampler_gets_guided_estimates_in_one_batch_a_step(config):
    model, sampler = build(denoiser=KARRAS), SAMPLERS.build(config)
    noise = [7, 8, 9]
    by_hand = build(denoiser=KARRAS)
    own = by_hand.denoiser.forward

    def both(x, sigma, labels):
        given, none = own(x, sigma, labels), own(x, sigma, torch.full_like(labels, NULL))
        return none + 2.0 * (given - none)

    by_hand.denoiser.forward = both
    sizes = sizes_of_calls(model)
    found = model.sample(3, [1, 2, 3], SampleNoise(noise), sampler=sampler, guidance=Guidance(2.0))
    expected = by_hand.sample(3, [1, 2, 3], SampleNoise(noise), sampler=sampler)
    assert sizes == [6] * sampler.nfe and model.nfe(sampler, Guidance(2.0)) == 2 * sampler.nfe
    # Solvers divide by the level: the rounding of an estimate grows by the ratio of the largest steps, up to 1e4.
    assert_close(found, expected, rtol=0, atol=2e-3)
    plain = model.sample(3, [1, 2, 3], SampleNoise(noise), sampler=sampler)
    assert (found - plain).abs().max() > 0.05


def test_scale_of_one_makes_no_second_estimate_and_changes_no_bit():
    model = build(denoiser=KARRAS)
    expected = model.sample(3, [1, 2, 3])
    sizes = sizes_of_calls(model)
    assert torch.equal(model.sample(3, [1, 2, 3], guidance=Guidance(1.0)), expected)
    assert torch.equal(model.sample(3, [1, 2, 3], guidance=Guidance(1.0, (0.1, 90.0))), expected)
    assert sizes == [3] * 4
    assert model.nfe(model.sampler, Guidance(1.0, (0.1, 90.0))) == model.sampler.nfe == 2
    assert build().nfe(model.sampler, Guidance(1.0)) == 2


def test_levels_outside_the_interval_cost_no_second_estimate():
    model, sampler = build(denoiser=KARRAS), MultistepSampler(sigmas=(80.0, 20.0, 5.0, 1.0))
    guidance = Guidance(2.0, (5.0, 20.0))  # open at its lower end
    seen = []
    sizes = sizes_of_calls(model)
    images = model.sample(2, [1, 2], sampler=sampler, guidance=guidance, callback=lambda *state: seen.append(state))
    assert sizes == [2, 4, 2, 2]
    assert guided_nfe(sampler, guidance) == model.nfe(sampler, guidance) == 5
    assert [guidance.acts_at(sigma) for sigma in (80.0, 20.0, 5.0, 1.0)] == [False, True, False, False]
    plain = []
    none = model.sample(2, [1, 2], sampler=sampler, callback=lambda *state: plain.append(state))
    assert torch.equal(seen[0][3], plain[0][3]) and not torch.equal(seen[1][3], plain[1][3])
    assert not torch.equal(images, none)
    beyond = Guidance(2.0, (100.0, math.inf))
    assert torch.equal(model.sample(2, [1, 2], sampler=sampler, guidance=beyond), none)


@pytest.mark.parametrize('interval', [(0.1, 1.6), (1.6, 90.0), (0.1, 80.0)])
def test_ends_of_an_interval_are_compared_as_the_levels_are(interval):
    """1.6 and 0.1 are no float32 numbers: the count and the sampling have to round them alike."""
    model, sampler = build(denoiser=KARRAS), MultistepSampler(sigmas=(80.0, 1.6))
    sizes = sizes_of_calls(model)
    model.sample(2, [1, 2], sampler=sampler, guidance=Guidance(2.0, interval))
    assert sum(sizes) == 2 * guided_nfe(sampler, Guidance(2.0, interval))


def test_images_at_different_levels_are_guided_each_by_its_own():
    network = by_variance([0.25, 0.35, 0.4])
    x, sigma, labels = torch.randn(3, 1, 2, 2), torch.tensor([0.5, 1.0, 2.0]), torch.tensor([0, 1, 0])
    found = guided(network, Guidance(3.0, (0.6, 1.5)), 2)(x, sigma, labels)
    given, none = network(x, sigma, labels), network(x, sigma, torch.full((3,), 2))
    assert torch.equal(found[[0, 2]], given[[0, 2]])
    assert_close(found[1], none[1] + 3 * (given[1] - none[1]))


def test_image_does_not_depend_on_the_other_images_of_its_batch():
    model = build(denoiser=KARRAS)
    options = dict(guidance=Guidance(1.8))
    together = model.sample(3, [1, 2, 3], SampleNoise([7, 8, 9]), **options)
    assert_close(together[1:2], model.sample(1, [2], SampleNoise([8]), **options), rtol=0, atol=1e-5)


def test_shares_of_classes_are_guided_like_labels():
    model = build(denoiser=KARRAS)
    labels, latents = torch.tensor([3, 5]), SampleNoise([0, 1]).randn(2, 1, 8, 8)
    shares = torch.nn.functional.one_hot(labels, 10).float()
    denoise = guided(model.denoiser, Guidance(2.0), NULL)
    sigma = torch.tensor([3.0, 1.0])
    with torch.no_grad():
        assert_close(denoise(latents, sigma, shares), denoise(latents, sigma, labels), rtol=0, atol=1e-5)


def test_augmentation_labels_go_with_their_images():
    network = build(denoiser=dict(KARRAS, backbone=dict(BACKBONE, null_class=True, augment_dim=9))).denoiser.eval()
    x, sigma, labels = torch.randn(2, 1, 8, 8), torch.tensor([3.0, 1.0]), torch.tensor([3, 5])
    augment_labels = torch.randn(2, 9)
    with torch.no_grad():
        found = guided(network, Guidance(2.0), NULL)(x, sigma, labels, augment_labels)
        given, none = (network(x, sigma, each, augment_labels) for each in (labels, torch.full((2,), NULL)))
        assert not torch.allclose(given, network(x, sigma, labels), atol=1e-3)
    assert_close(found, none + 2 * (given - none), rtol=0, atol=1e-4)


@pytest.mark.parametrize('interval', [None, (0.5, 100.0)])
def test_flow_map_is_guided_along_the_same_step(interval):
    model, sampler = build(denoiser=FLOW_MAP, sampler=dict(type='FlowMapSampler', num_steps=2)), FlowMapSampler(2)
    calls, own = [], model.denoiser.forward

    def listen(x, sigma, labels, next_sigma):
        calls.append((len(x), next_sigma.tolist(), labels.tolist()))
        return own(x, sigma, labels, next_sigma=next_sigma)

    model.denoiser.forward = listen
    model.sample(2, [1, 2], sampler=sampler, guidance=Guidance(1.5, interval))
    second = [1.0] * 4 if interval is None else [1.0] * 2
    assert [labels for _, _, labels in calls][-1] == [1, 2, NULL, NULL]
    assert calls[-1][1] == [0.0] * 4
    assert calls[0][1] == second  # the level in the middle of the linear path
    assert model.nfe(sampler, Guidance(1.5, interval)) == (4 if interval is None else 3)


def test_model_has_guidance_of_its_own():
    model = build(denoiser=KARRAS, guidance=dict(scale=2.0, interval=(0.5, 90.0)))
    plain = build(denoiser=KARRAS)
    assert model.guidance == Guidance(2.0, (0.5, 90.0)) and plain.guidance == NO_GUIDANCE
    expected = plain.sample(2, [1, 2], guidance=model.guidance)
    assert torch.equal(model.sample(2, [1, 2]), expected)
    assert torch.equal(model.sample(2, [1, 2], guidance=NO_GUIDANCE), plain.sample(2, [1, 2]))
    assert model.checked_guidance(3.0) == Guidance(3.0, (0.5, 90.0))
    assert model.checked_guidance(interval=(1, 2)) == Guidance(2.0, (1.0, 2.0))
    assert Guidance.of(model.guidance.config()) == model.guidance


@pytest.mark.parametrize('config', [1.5, dict(interval=(1, 2)), dict(scale=2.0, weight=1.0)])
def test_config_of_another_form_is_refused(config):
    with pytest.raises(InputError, match=r'dict\(scale=1.5'):
        build(denoiser=KARRAS, guidance=config)


def test_network_without_a_null_class_cannot_be_guided():
    with pytest.raises(InputError, match='model.guidance.scale=2.0 needs .*null_class=True'):
        build(guidance=dict(scale=2.0))
    unconditional = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, num_classes=None))
    for model in (build(), build(denoiser=unconditional)):
        with pytest.raises(InputError, match='guidance=1.5 needs .*null_class=True'):
            model.checked_guidance(1.5)
        assert model.checked_guidance(1.0) == NO_GUIDANCE
    with pytest.raises(InputError, match='give guidance, too'):
        build(denoiser=KARRAS).checked_guidance(interval=(0.5, 2.0))


TOLD_FLOW_MAP = dict(FLOW_MAP, backbone=dict(FLOW_MAP['backbone'], num_conditions=4), guided=True)
TOLD = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, num_conditions=1), guided=True)


def test_flow_map_that_takes_guidance_as_an_input_makes_one_estimate_of_the_asked_scale():
    sampler = dict(type='FlowMapSampler', num_steps=2)
    model = build(denoiser=dict(TOLD_FLOW_MAP, guidance=3.0, guidance_interval=(0.25, 0.75)), sampler=sampler)
    assert model.guidance == Guidance(3.0, (1 / 3, 3.0))  # sigma = t / (1 - t)
    other = build(denoiser=dict(TOLD_FLOW_MAP, guidance=1.5), sampler=sampler)
    sizes = sizes_of_calls(model)
    expected = other.sample(2, [1, 2])
    assert torch.equal(model.sample(2, [1, 2], guidance=Guidance(1.5)), expected)
    assert sizes == [2, 2] and model.nfe(model.sampler, Guidance(1.5)) == 2
    assert not torch.allclose(model.sample(2, [1, 2]), expected, atol=1e-3)
    assert torch.equal(model.sample(2, [1, 2]), other.sample(2, [1, 2], guidance=model.guidance))
    x, sigma, labels = torch.randn(2, 1, 8, 8), torch.tensor([3.0, 1.0]), torch.tensor([3, 5])
    with torch.no_grad():  # noise levels as times again
        own = model.denoiser(x, sigma, labels, next_sigma=sigma / 2)
        assert torch.equal(guided(model.denoiser, model.guidance, NULL)(x, sigma, labels, next_sigma=sigma / 2), own)
        scaled = build(denoiser=dict(TOLD_FLOW_MAP, guidance=3.0, guidance_interval=(0.25, 0.75), noise_scale=2.0))
        assert scaled.guidance == Guidance(3.0, (2 / 3, 6.0))
        own = scaled.denoiser(x, sigma, labels)
        assert torch.equal(guided(scaled.denoiser, scaled.guidance, NULL)(x, sigma, labels), own)
        single = build(denoiser=dict(TOLD_FLOW_MAP, guidance=3.0, guidance_interval=(0.5, 0.5)), sampler=sampler)
        own = single.denoiser(x, sigma, labels)
        assert_close(guided(single.denoiser, single.guidance, NULL)(x, sigma, labels), own, rtol=0, atol=1e-6)
    without = build(denoiser=TOLD_FLOW_MAP, sampler=sampler).sample(2, [1, 2])
    assert torch.equal(model.sample(2, [1, 2], guidance=NO_GUIDANCE), without)  # not its own scale of 3
    assert_close(
        other.sample(2, [1, 2], guidance=Guidance(1.5, (0.0, math.inf))), expected, rtol=0, atol=1e-6
    )  # all times


def test_levels_of_guidance_of_a_flow_map_are_those_of_its_noise():
    """The network sees the interval as times, whatever the scale of the noise."""
    settings = dict(TOLD_FLOW_MAP, guidance=3.0, guidance_interval=(0.25, 0.75), noise_scale=2.0)
    model = build(denoiser=settings, sampler=dict(type='FlowMapSampler', num_steps=1, noise_scale=2.0))
    assert model.guidance == Guidance(3.0, (2 / 3, 6.0))  # sigma = 2 t / (1 - t)
    seen = []
    model.denoiser.backbone.register_forward_pre_hook(
        lambda module, arguments, options: seen.append(options['conditions']), with_kwargs=True
    )
    model.sample(1, [1])
    assert_close(seen[0][0], torch.tensor([1.0, 1 - 1 / 3, 0.25, 0.75]))


def test_consistency_model_that_takes_guidance_as_an_input_is_told_the_scale_of_each_level():
    model, sampler = build(denoiser=TOLD), MultistepSampler(sigmas=(80.0, 1.5))
    told = []
    model.denoiser.register_forward_hook(lambda *call: told.append(call[2]['guidance'].tolist()), with_kwargs=True)
    guided_images = model.sample(2, [1, 2], sampler=sampler, guidance=Guidance(2.0, (1.5, 90.0)))
    assert told == [[2.0, 2.0], [1.0, 1.0]]
    assert not torch.allclose(guided_images, model.sample(2, [1, 2], sampler=sampler), atol=1e-3)
    assert model.nfe(sampler, Guidance(2.0)) == 2
    assert model.checked_guidance(2.0) == Guidance(2.0)  # without a null class
    assert build(denoiser=dict(TOLD, guidance=2.5)).guidance == Guidance(2.5)


def test_guidance_that_a_network_has_not_learned_is_refused():
    model = build(denoiser=TOLD)
    with pytest.raises(InputError, match='guidance has to be 1 or more .*got 0.5'):
        model.checked_guidance(0.5)
    with pytest.raises(InputError, match='leave out model.guidance.checkpoint'):
        check_guided(model.denoiser, Guidance(2.0), None, alone=False)


def test_guided_denoiser_shows_what_objectives_ask_of_a_denoiser():
    model = build(denoiser=KARRAS)
    wrapped = GuidedDenoiser(model.denoiser, Guidance(2.0), NULL)
    assert wrapped.sigma_data == 0.5 and wrapped.backbone is model.denoiser.backbone


def test_edits_are_guided_as_the_model_is():
    plain, model = build(denoiser=KARRAS), build(denoiser=KARRAS, guidance=dict(scale=2.0))
    sampler, images = MultistepSampler(sigmas=(5.0, 1.0)), torch.zeros(2, 1, 8, 8)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4] = 1
    operator = Inpainting(mask)
    sizes = sizes_of_calls(model)
    edited = model.edit(images, operator, [1, 2], num_candidates=2, sampler=sampler)
    assert sizes == [8, 8]
    unguided = plain.edit(images, operator, [1, 2], num_candidates=2, sampler=sampler)
    assert not torch.allclose(edited, unguided, atol=1e-2)


def test_file_of_weights_keeps_the_guidance_of_its_model(tmp_path):
    model = build(denoiser=KARRAS)
    text = f'model = {model_config(denoiser=KARRAS, guidance=dict(scale=2.0, interval=(50.0, 90.0)))!r}\n'
    write_safetensors(tmp_path / 'x.safetensors', model.denoiser.backbone.state_dict(), dict(config=text))
    inferencer = ConsistencyModelInferencer(tmp_path / 'x.safetensors', device='cpu')
    assert inferencer.model.guidance == Guidance(2.0, (50.0, 90.0))
    assert inferencer(labels=[3]).nfe == 3  # of the two levels, the first is guided
