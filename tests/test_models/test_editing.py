import pytest
import torch
from torch.overrides import TorchFunctionMode

from mmcm.apis.editing.tiling import covering_tiles
from mmcm.config import read_config
from mmcm.datasets import DigitsDataset
from mmcm.models.consistency_model import inference_config
from mmcm.models.editing import constrain, editing_sampler
from mmcm.noise.generators import SampleNoise
from mmcm.operators import Colorization, Deblurring, Inpainting, SuperResolution
from mmcm.registry import MODELS
from mmcm.samplers import (
    DPM2Sampler,
    EulerAncestralSampler,
    EulerSampler,
    FlowMapSampler,
    HeunSampler,
    MultistepSampler,
)
from mmcm.utils.errors import InputError
from mmcm.utils.finite import NotFiniteError
from support.digits import BACKBONE, EDM2, build
from support.parity import gaussian_consistency, gaussian_denoiser

COLOUR = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, in_channels=3, out_channels=3, num_classes=None))
FOUR = MultistepSampler(indices=(0, 10, 20, 30), num_scales=40)


def pictures(channels=1, number=2):
    return torch.rand(number, channels, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def lower_half():
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 4:, :] = 1
    return mask


@pytest.mark.parametrize(
    'operator', [Inpainting(lower_half()), Colorization(), *map(SuperResolution, (2, 4, 8)), Deblurring((1, 2, 1), 8)]
)
def test_what_is_known_is_kept_and_candidates_differ(operator):
    images = pictures(3)
    edited = build(denoiser=COLOUR).edit(images, operator, num_candidates=2, sampler=FOUR)
    assert edited.shape == (2, 2, 3, 8, 8)
    for candidate in range(2):
        known, kept = operator.degrade(images), operator.degrade(edited[:, candidate])
        torch.testing.assert_close(kept, known, rtol=0, atol=2e-6)
    assert (edited[:, 0] - edited[:, 1]).abs().max() > 0.1


def test_soft_mask_leaves_the_share_of_the_pictures_that_it_knows():
    mask = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    edited = build().edit(pictures(), Inpainting(mask), labels=3, sampler=FOUR)[:, 0]
    assert ((edited - (1 - mask) * pictures()).abs() <= mask + 1e-6).all()  # what is drawn lies in [-1, 1]
    assert (edited - pictures()).abs().max() > 0.1


def test_everything_known_gives_the_pictures_back():
    edited = build().edit(pictures(), Inpainting(torch.zeros(1, 1, 8, 8)), labels=3, sampler=FOUR)
    assert torch.equal(edited[:, 0], pictures())
    unblurred = build().edit(pictures(), Deblurring((1,), 8), labels=3, sampler=FOUR)
    torch.testing.assert_close(unblurred[:, 0], pictures(), rtol=0, atol=1e-5)


def test_nothing_known_is_plain_sampling_bit_for_bit():
    model = build()
    edited = model.edit(pictures(), Inpainting(torch.ones(1, 1, 8, 8)), [3, 4], noise=SampleNoise([7, 8]), sampler=FOUR)
    assert torch.equal(edited[:, 0], model.sample(2, [3, 4], SampleNoise([7, 8]), sampler=FOUR))


def test_only_what_is_known_of_the_pictures_matters():
    model, operator = build(denoiser=COLOUR), Colorization()
    grey = operator.degrade(pictures(3))
    torch.testing.assert_close(
        model.edit(grey, operator, sampler=FOUR), model.edit(pictures(3), operator, sampler=FOUR), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize('sampler', [MultistepSampler(sigmas=(2.0, 1.0)), HeunSampler(4, sigma_max=2.0)])
def test_first_step_starts_from_noise_around_what_is_known(sampler):
    """Song et al. (2023, Algorithm 4): x ~ N(y, sigma_1^2)."""
    seen = []
    operator = SuperResolution(2)
    build().edit(
        pictures(),
        operator,
        3,
        noise=SampleNoise([7, 8]),
        sampler=sampler,
        callback=lambda step, sigma, x, x0: seen.append(x),
    )
    noise = SampleNoise([7, 8]).randn(2, 1, 8, 8)
    torch.testing.assert_close(seen[0], operator.degrade(pictures()) + 2.0 * noise)


def test_candidates_have_the_labels_of_their_picture_or_their_own():
    model, operator = build(), Inpainting(lower_half())
    of_pictures = model.edit(pictures(), operator, [3, 4], num_candidates=2, sampler=FOUR)
    of_candidates = model.edit(pictures(), operator, [3, 3, 4, 4], num_candidates=2, sampler=FOUR)
    others = model.edit(pictures(), operator, [3, 5, 4, 4], num_candidates=2, sampler=FOUR)
    assert torch.equal(of_pictures, of_candidates)
    differ = (others - of_pictures).abs().amax(dim=(2, 3, 4)) > 1e-3
    assert differ.tolist() == [[False, True], [False, False]]


def test_callback_hears_of_every_level_and_sees_what_is_kept():
    heard = []
    build().edit(
        pictures(), Inpainting(lower_half()), 3, callback=lambda step, sigma, x, x0: heard.append((step, sigma, x0))
    )
    assert [step for step, _, _ in heard] == list(range(39))
    assert heard[0][1] == pytest.approx(80)
    assert all(torch.equal(x0[:, :, :4], pictures()[:, :, :4]) for _, _, x0 in heard)


def test_estimates_are_clipped_unless_told_otherwise():
    model = build()
    with torch.no_grad():
        model.denoiser.backbone.out[2].weight.mul_(100)
    everything = Inpainting(torch.ones(1, 1, 8, 8))
    assert model.edit(pictures(), everything, 3, sampler=FOUR).abs().max() <= 1
    assert model.edit(pictures(), everything, 3, sampler=FOUR, clip=False).abs().max() > 1


class Copies(TorchFunctionMode):
    """Counts what goes from the CPU to the meta device, and tensors that are made there from Python's numbers."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.is_meta:
            came = function is torch.Tensor.to and not args[0].is_meta
            self.count += came or function in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor)
        return result


@pytest.mark.parametrize('operator', [Inpainting(lower_half()), Colorization(), SuperResolution(4)])
def test_noise_is_all_that_a_step_copies_to_the_device(operator):
    model = build(denoiser=COLOUR).to('meta')

    def copies(num_levels):
        with Copies() as counter:
            model.edit(pictures(3), operator, sampler=MultistepSampler(sigmas=FOUR.sigmas[:num_levels]))
        return counter.count

    assert copies(4) - copies(2) == 2
    assert copies(1) == 2 + isinstance(operator, Inpainting)  # pictures, noise, and the mask, once


@pytest.mark.parametrize(
    'options, match',
    [
        (dict(images=pictures(3)), r'\(N, 1, 8, 8\), got \(2, 3, 8, 8\)'),
        (dict(images=pictures()[0]), r'\(N, 1, 8, 8\)'),
        (dict(images=pictures(number=0)), r'\(N, 1, 8, 8\)'),
        (dict(operator=Colorization()), 'three channels'),
        (dict(operator=SuperResolution(3)), 'does not divide'),
        (dict(operator=Inpainting(torch.zeros(1, 1, 4, 4))), 'does not fit'),
        (dict(num_candidates=0), 'at least 1'),
        (dict(labels=None), 'class-conditional'),
        (dict(labels=10), 'out of range'),
        (dict(labels=[1, 2, 3]), 'one label per image'),
    ],
)
def test_requests_that_cannot_be_met_are_refused(options, match):
    request = dict(images=pictures(), operator=Inpainting(lower_half()), labels=3)
    with pytest.raises(InputError, match=match):
        build().edit(**{**request, **options})


@pytest.fixture(scope='module')
def shipped():
    """The model of digits, the classifier, and the first digits of the half that neither was trained on."""
    model = MODELS.build(inference_config(read_config('cd_1xb32_digits-8x8').model))
    model.load_checkpoint('digits')
    classifier = MODELS.build(dict(type='DigitsClassifier', checkpoint='package:weights/digits_classifier.safetensors'))
    classifier.init_weights()
    digits = DigitsDataset('test')
    images = torch.stack([digits[index]['inputs'] for index in range(60)])
    return model.eval(), classifier.eval(), images, torch.tensor(digits.labels[:60])


@pytest.mark.parametrize('operator', [Inpainting(lower_half()), SuperResolution(2), SuperResolution(4)])
def test_edited_digits_read_as_what_they_are_and_resemble_them(shipped, operator):
    model, classifier, digits, labels = shipped
    images = model.data_preprocessor(dict(inputs=digits))['inputs']

    def share_read(edited):
        read = classifier.extract(model.data_preprocessor.destruct(edited)).logits.argmax(1)
        return (read == labels).float().mean().item()

    def error(edited):
        return (edited - images).square().mean().item()

    known, drawn = operator.degrade(images), model.sample(60, labels)
    edited = model.edit(images, operator, labels)[:, 0]
    assert share_read(edited) >= 0.95 > share_read(known) + 0.1
    assert error(edited) < 0.5 * error(known) and error(edited) < 0.7 * error(drawn)


def test_pictures_that_are_not_finite_are_refused_before_the_network_is_called():
    model, images = build(), pictures()
    model.denoiser.forward = None
    images[1, 0, 7, 7] = float('nan')  # which the mask would hide
    with pytest.raises(InputError, match='the pictures to edit have to be finite'):
        model.edit(images, Inpainting(lower_half()), labels=3)


@pytest.mark.parametrize('operator', [Inpainting(lower_half()), SuperResolution(2), Deblurring((1, 2, 1), 8)])
@pytest.mark.parametrize('tiles', [None, covering_tiles(12, 8, 8)])
def test_edit_by_diverged_weights_ends_in_one_line(operator, tiles):
    model = build()
    if tiles is not None:
        operator = SuperResolution(2)
    with torch.no_grad():
        model.denoiser.backbone.out[2].bias.fill_(float('inf'))
    images = pictures() if tiles is None else torch.zeros(2, 1, 12, 8)
    with pytest.raises(NotFiniteError, match=r'weights are not: backbone.out.2.bias'):
        model.edit(images, operator, labels=3, sampler=FOUR, tiles=tiles)


def test_what_was_degraded_before_gives_the_same_candidates():
    model, operator = build(denoiser=COLOUR), Deblurring((1, 2, 1), 8)
    known = operator.to('cpu').degrade(pictures(3))
    expected = model.edit(pictures(3), operator, sampler=FOUR)
    assert torch.equal(model.edit(known, operator, sampler=FOUR, degraded=True), expected)


def test_drawn_part_has_the_spread_of_the_data_whatever_is_known():
    """With independent pixels, N(0, 0.5^2) each, the known ones say nothing about the others."""
    torch.manual_seed(0)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 4:] = 1
    known = torch.full((1000, 1, 8, 8), 0.7)
    denoise = constrain(gaussian_consistency, Inpainting(mask), known)
    edited = editing_sampler()(denoise, torch.randn(1000, 1, 8, 8), torch.randn_like)
    assert torch.equal(edited[..., :4], known[..., :4])
    assert edited[..., 4:].std() == pytest.approx(0.5, rel=0.02)
    assert edited[..., 4:].mean() == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize('sampler', [HeunSampler(8), DPM2Sampler(8), EulerSampler(8), EulerAncestralSampler(8)])
def test_every_sampler_can_edit(sampler):
    torch.manual_seed(0)
    operator = SuperResolution(2)
    known = operator.degrade(torch.rand(2, 1, 8, 8))
    edited = sampler(constrain(gaussian_denoiser, operator, known), torch.randn(2, 1, 8, 8), torch.randn_like)
    torch.testing.assert_close(operator.degrade(edited), known, rtol=0, atol=1e-5)
    assert (edited - known).std() > 0.1


def test_consistency_models_edit_in_many_levels_of_their_own_range():
    assert editing_sampler().nfe == 39
    levels = editing_sampler(MultistepSampler(sigmas=(50.0, 2.0), sigma_min=0.01)).sigmas
    schedule = MultistepSampler(indices=tuple(range(39)), num_scales=40, sigma_min=0.01, sigma_max=50.0).sigmas
    assert levels == pytest.approx(schedule, rel=1e-12)


def test_other_models_edit_as_they_draw():
    sampler = HeunSampler(18)
    assert editing_sampler(sampler) is sampler


def test_network_of_edm2_edits():
    model = build(denoiser=EDM2, sampler=dict(type='HeunSampler', num_steps=3))
    images = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 4:, :] = 1
    edited = model.edit(images, Inpainting(mask), labels=3, num_candidates=2)[0]
    assert torch.equal(edited[..., :4, :], images[..., :4, :].expand(2, -1, -1, -1))
    assert (edited[0] - edited[1]).abs().max() > 0.1


@pytest.mark.parametrize('sampler', [None, FlowMapSampler(num_steps=3), MultistepSampler(sigmas=(80.0, 1.0))])
@pytest.mark.parametrize('size', [8, 12])
def test_flow_map_edits(sampler, size):
    """Also in tiles; by default it goes through many levels, as a consistency model."""
    model = build(
        denoiser=dict(type='FlowMapDenoiser', backbone=dict(BACKBONE, num_conditions=1)),
        sampler=dict(type='FlowMapSampler', num_steps=1),
    )
    images = torch.rand(1, 1, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mask = torch.zeros(1, 1, size, size)
    mask[..., size // 2 :, :] = 1
    tiles = None if size == 8 else covering_tiles(size, size, 8)
    edited = model.edit(images, Inpainting(mask), labels=3, num_candidates=2, sampler=sampler, tiles=tiles)[0]
    assert torch.equal(edited[..., : size // 2, :], images[..., : size // 2, :].expand(2, -1, -1, -1))
    assert (edited[0] - edited[1]).abs().max() > 0.1
    assert len(editing_sampler(model.sampler).sigmas) == 39
