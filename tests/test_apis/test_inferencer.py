import shutil
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
import torch
from mmengine.infer import BaseInferencer

from mmcm.apis import ConsistencyModelInferencer
from mmcm.apis.sampling.bulk import sample_to_files
from mmcm.apis.sampling.image_archives import read_origin
from mmcm.denoisers.guidance import Guidance
from mmcm.registry import MODELS
from mmcm.utils import precision
from mmcm.utils.errors import InputError
from mmcm.utils.finite import NotFiniteError
from support.digits import BACKBONE, build, model_config, write_config


def test_draws_what_the_model_draws(inferencer):
    drawing = inferencer(labels=[3, 1, 4], seed=2)
    model = build()
    expected = torch.cat([model.sample(1, label, noise) for label, noise in zip([3, 1, 4], noises(range(6, 9)))])
    difference = drawing.pixels.int() - model.data_preprocessor.destruct(expected).int()
    assert difference.abs().max() <= 1
    assert drawing.labels == [3, 1, 4] and list(drawing.seeds) == [6, 7, 8] and drawing.nfe == 2


def noises(seeds):
    from mmcm.noise.generators import SampleNoise

    return [SampleNoise([seed]) for seed in seeds]


def test_batch_size_changes_nothing(inferencer):
    whole = inferencer(7, 'balanced', batch_size=7)
    parts = inferencer(7, 'balanced', batch_size=2)
    assert (whole.pixels.int() - parts.pixels.int()).abs().max() <= 1


def test_batch_that_does_not_fit_the_memory_is_halved(inferencer, monkeypatch):
    expected = inferencer(7, 'balanced').pixels
    generate, sizes = inferencer.model.generate, []

    def small_memory(num_samples, *args, **kwargs):
        sizes.append(num_samples)
        if num_samples > 2:
            raise torch.cuda.OutOfMemoryError('out of memory')
        return generate(num_samples, *args, **kwargs)

    monkeypatch.setattr(inferencer.model, 'generate', small_memory)
    drawn = inferencer(7, 'balanced').pixels
    assert sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert (drawn.int() - expected.int()).abs().max() <= 1


def test_random_labels_follow_the_seed(inferencer):
    assert inferencer(20, seed=1).labels == inferencer(20, seed=1).labels != inferencer(20, seed=2).labels


def test_nothing_is_loaded_before_the_labels_are_checked(inferencer):
    with pytest.raises(InputError, match='label 11 is out of range'):
        inferencer(labels=11)
    assert not inferencer.loaded


def test_weights_are_not_initialised_in_vain(inferencer, checkpoint):
    assert all(parameter.is_meta for parameter in inferencer.model.parameters())
    assert not any(parameter.is_meta for parameter in inferencer.load().model.parameters())


def test_half_precision_file_draws_in_single_precision(tmp_path, inferencer):
    weights = {key: value.half() for key, value in build().denoiser.backbone.state_dict().items()}
    torch.save(weights, tmp_path / 'half.pt')
    half = ConsistencyModelInferencer(write_config(tmp_path), str(tmp_path / 'half.pt'), device='cpu')
    difference = half(4, 'balanced').pixels.int() - inferencer(4, 'balanced').pixels.int()
    assert next(half.model.parameters()).dtype == torch.float32 and difference.abs().max() <= 3


def test_workflow_of_mmengines_inferencers(inferencer):
    batches = list(inferencer.preprocess([3, 1, 4], batch_size=2))
    samples = [sample for batch in batches for sample in inferencer.forward(batch)]
    assert len(batches) == 2 and [sample.gt_label.label.item() for sample in samples] == [3, 1, 4]
    expected = inferencer(labels=[3, 1, 4])
    assert all(torch.equal(sample.fake_img, image) for sample, image in zip(samples, expected.pixels))
    assert inferencer.visualize(None, expected)[0].ndim == 3


def test_numbers_of_numpy_are_numbers(inferencer):
    two, three, one = map(np.int64, (2, 3, 1))
    drawing = inferencer(two, three, one, batch_size=one, sigmas=np.array([80, 2], np.float32))
    assert drawing.labels == [3, 3] and list(drawing.seeds) == [2, 3]


def test_unconditional_model_needs_no_labels(tmp_path):
    denoiser = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, num_classes=None))
    torch.save(build(denoiser=denoiser).denoiser.backbone.state_dict(), tmp_path / 'plain.pt')
    config = write_config(tmp_path, model=model_config(denoiser=denoiser))
    inferencer = ConsistencyModelInferencer(config, str(tmp_path / 'plain.pt'), 'cpu')
    drawing = inferencer(3)
    assert drawing.labels is None and drawing.pixels.shape == (3, 1, 8, 8)
    assert drawing.save(tmp_path / 'out')[0].name == '000000.png'
    for labels in (3, 'balanced', 'king penguin'):
        with pytest.raises(InputError, match='the model is unconditional'):
            inferencer(2, labels)


def test_shipped_model_draws_readable_digits():
    drawing = ConsistencyModelInferencer('digits', device='cpu')(200, 'balanced')
    classifier = MODELS.build(dict(type='DigitsClassifier', checkpoint='package:weights/digits_classifier.safetensors'))
    classifier.init_weights()
    read = classifier.eval().extract(drawing.pixels).logits.argmax(1)
    assert drawing.nfe == 1
    assert (read == torch.tensor(drawing.labels)).float().mean() >= 0.97  # of 200; tools/test.py measures 2000


def test_three_lines_make_a_picture(tmp_path):
    draw = ConsistencyModelInferencer('digits', device='cpu')
    draw(labels=[3, 1, 4]).images[0].save(tmp_path / 'three.png')
    assert cv2.imread(str(tmp_path / 'three.png'), cv2.IMREAD_UNCHANGED).shape == (8, 8)
    assert isinstance(draw, BaseInferencer)


def test_kinds_of_output_hold_the_same_images(inferencer):
    drawings = {kind: inferencer(3, 'balanced', output_type=kind) for kind in ('pil', 'np', 'pt', 'data_sample')}
    pixels = drawings['pil'].pixels
    assert all(np.array_equal(image, pixel[0]) for image, pixel in zip(drawings['pil'].images, pixels))
    assert drawings['np'].images.shape == (3, 8, 8, 1) and drawings['np'].images.dtype == np.float32
    assert drawings['pt'].images.shape == (3, 1, 8, 8)
    assert np.array_equal(drawings['np'].images, drawings['pt'].images.permute(0, 2, 3, 1))
    assert ((drawings['pt'].images * 255).round() == pixels).all()
    samples = drawings['data_sample'].images
    assert all(torch.equal(sample.fake_img, pixel) for sample, pixel in zip(samples, pixels))
    assert [sample.gt_label.label.item() for sample in samples] == [0, 1, 2]
    assert [sample.sample_seed for sample in samples] == [0, 1, 2]


def test_tuple_in_place_of_a_drawing(inferencer):
    (images,) = inferencer(2, 'balanced', return_dict=False)
    assert len(images) == 2


def test_labels_as_tensor_array_list_or_number(inferencer):
    pixels = inferencer(labels=[3, 1]).pixels
    for labels in (torch.tensor([3, 1]), np.array([3, 1]), ['3', '1'], (3, 1)):
        assert torch.equal(inferencer(labels=labels).pixels, pixels)
    for label in (7, '7', torch.tensor(7), np.int64(7)):
        assert inferencer(2, label).labels == [7, 7]


def test_classes_by_name():
    draw = ConsistencyModelInferencer('cd_imagenet64_lpips', device='cpu')
    assert draw.request(2, 'king penguin').labels == [145, 145]
    assert draw.request(3, ['tench', 'Golden Retriever', 7]).labels == [0, 207, 7]
    with pytest.raises(InputError, match='nearest: king penguin'):
        draw(labels='kings penguin')
    with pytest.raises(InputError, match='classes 134 and 517: give the number'):
        draw(labels='crane')


def test_classes_without_names_are_numbers(inferencer):
    with pytest.raises(InputError, match='only the numbers 0 to 9'):
        inferencer(labels='three')


def test_seeds_of_the_images_themselves(inferencer):
    whole = inferencer(4, 'balanced', seed=3)
    assert list(whole.seeds) == [12, 13, 14, 15]
    some = inferencer(labels=[2, 1], seed=[14, 13])
    assert (some.pixels.int() - whole.pixels[[2, 1]].int()).abs().max() <= 1


def test_one_generator_draws_for_all_images_at_once(inferencer):
    generator = torch.Generator().manual_seed(5)
    latents, noise = (torch.randn(5, 1, 8, 8, generator=generator) for _ in range(2))
    expected = inferencer.load().model.sample(5, [0, 1, 2, 3, 4], Recorded([noise]), latents)
    for batch_size in (5, 2):
        drawing = inferencer(5, 'balanced', generator=torch.Generator().manual_seed(5), batch_size=batch_size)
        difference = drawing.pixels.int() - inferencer.model.data_preprocessor.destruct(expected).int()
        assert difference.abs().max() <= 1 and drawing.seeds is None


class Recorded:
    def __init__(self, noises):
        self.noises = list(noises)

    def randn_like(self, x):
        return self.noises.pop(0)


def test_list_of_generators_has_one_for_each_image(inferencer):
    by_seed = inferencer(4, 'balanced', seed=0).pixels
    for batch_size in (4, 3):
        generators = [torch.Generator().manual_seed(seed) for seed in range(4)]
        drawing = inferencer(labels='balanced', generator=generators, batch_size=batch_size)
        assert (drawing.pixels.int() - by_seed.int()).abs().max() <= 1


def test_given_latents_are_where_drawing_starts(inferencer):
    latents = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    one = inferencer(labels=4, latents=latents, num_steps=1)
    expected = inferencer.model.sample(3, 4, latents=latents, sampler=inferencer.choose_sampler(num_steps=1))
    assert torch.equal(one.pixels, inferencer.model.data_preprocessor.destruct(expected))
    parts = inferencer(labels=4, latents=latents, num_steps=1, batch_size=2)
    assert (parts.pixels.int() - one.pixels.int()).abs().max() <= 1


@pytest.mark.parametrize('dtype', ['float16', torch.bfloat16])
def test_network_computes_in_half_precision(tmp_path, checkpoint, inferencer, dtype):
    half = ConsistencyModelInferencer(write_config(tmp_path), checkpoint, device='cpu', dtype=dtype)
    difference = half(5, 'balanced').pixels.int() - inferencer(5, 'balanced').pixels.int()
    assert next(half.model.parameters()).dtype == half.dtype and 0 < difference.abs().max() <= 12
    with pytest.raises(InputError, match="float32, float16, bfloat16, got 'half'"):
        ConsistencyModelInferencer(write_config(tmp_path), checkpoint, dtype='half')


def test_large_networks_compute_in_the_fast_precision_of_the_device(tmp_path, checkpoint, monkeypatch, capsys):
    monkeypatch.setattr(precision, 'fastest_dtype', lambda device: torch.bfloat16)
    precision.tell_chosen.cache_clear()
    assert ConsistencyModelInferencer(write_config(tmp_path), checkpoint, device='cpu').dtype is torch.float32
    monkeypatch.setattr(precision, 'LARGE', 1)
    auto = ConsistencyModelInferencer(write_config(tmp_path), checkpoint, device='cpu').load()
    weights = [weight for weight in auto.model.inference_denoiser.backbone.parameters() if weight.ndim == 4]
    assert {weight.dtype for weight in weights} == {torch.bfloat16}
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    assert 'note: computing in bfloat16' in capsys.readouterr().err
    single = ConsistencyModelInferencer(write_config(tmp_path), checkpoint, device='cpu', dtype='float32').load()
    weights = [weight for weight in single.model.inference_denoiser.backbone.parameters() if weight.ndim == 4]
    assert {weight.dtype for weight in weights} == {torch.float32} and all(map(torch.Tensor.is_contiguous, weights))


@pytest.mark.parametrize('model', ['digits', 'photo_patches'])
def test_bfloat16_changes_images_by_less_than_what_is_seen(model):
    """bfloat16 has 8 bits: 40 dB are an error of 2.55 of 255, as auto promises."""
    single, half = (
        ConsistencyModelInferencer(model, device='cpu', dtype=dtype)(4, seed=0).pixels.double()
        for dtype in ('float32', 'bfloat16')
    )
    error = (single - half).square().mean()
    assert error > 0 and 10 * torch.log10(255**2 / error) > 40, float(10 * torch.log10(255**2 / error))


def test_estimates_are_clipped_unless_told_otherwise(inferencer):
    estimates = {clip: [] for clip in (True, False)}
    for clip, found in estimates.items():
        inferencer(5, 'balanced', clip=clip, callback=lambda step, sigma, x, x0, found=found: found.append(x0))
    assert torch.cat(estimates[True]).abs().max() <= 1 < torch.cat(estimates[False]).abs().max()


def test_callback_hears_of_every_nth_step(inferencer):
    heard = []
    inferencer(
        2,
        'balanced',
        sigmas=(80, 8, 2, 0.5, 0.1),
        callback_steps=2,
        callback=lambda step, sigma, x, x0: heard.append((step, sigma, x.shape, x0.shape)),
    )
    assert heard == [(step, sigma, (2, 1, 8, 8), (2, 1, 8, 8)) for step, sigma in ((0, 80), (2, 2), (4, 0.1))]


def test_progress_is_shown_only_where_asked_for(inferencer, monkeypatch):
    shown = []
    monkeypatch.setattr('mmcm.utils.progress.terminal', lambda: shown.append(True))
    inferencer(2, 'balanced')
    assert shown == []
    inferencer(2, 'balanced', progress=True)
    assert shown == [True]


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(num_images=0), 'num_images has to be an integer of at least 1, got 0'),
        (dict(num_steps=0), 'num_steps has to be an integer of at least 1, got 0'),
        (dict(num_steps=19), 'num_steps has to be at most 18'),
        (dict(timesteps=[0, 8]), r'timesteps have to be integers that descend .* got \[0, 8\]'),
        (dict(timesteps=[18, 0]), 'descend from at most 17 to 0'),
        (dict(timesteps=[8]), 'descend from at most 17 to 0'),
        (dict(timesteps=[]), 'descend from at most 17 to 0'),
        (dict(timesteps=4), 'timesteps has to be a list, got 4'),
        (dict(sigmas=(1.5, 80)), 'sigmas must strictly decrease'),
        (dict(num_steps=2, timesteps=[8, 0]), 'num_steps and timesteps both say'),
        (dict(num_steps=2, sigmas=[80]), 'num_steps and sigmas both say'),
        (dict(latents=torch.zeros(3, 3, 8, 8)), r'shape \(3, 1, 8, 8\), got \(3, 3, 8, 8\)'),
        (dict(num_images=2, latents=torch.zeros(3, 1, 8, 8)), r'shape \(2, 1, 8, 8\), got \(3, 1, 8, 8\)'),
        (dict(num_images=3, generator=[torch.Generator()]), 'a list of 1 for 3 images'),
        (dict(num_images=1, generator=[torch.Generator(), torch.Generator()]), 'a list of 2 for 1 images'),
        (dict(generator=7), 'has to be a torch.Generator'),
        (dict(num_images=3, seed=[1, 2]), 'got 2 for 3 images'),
        (dict(seed='x'), 'seed'),
        (dict(labels=[3, 12]), 'label 12 is out of range'),
        (dict(labels=3.5), 'labels have to be integers'),
        (dict(labels=[]), 'labels is an empty list'),
        (dict(num_images=2, labels=[1, 2, 3]), '3 labels are too many for 2 images'),
        (dict(seed=1.5), 'a seed has to be an integer of 64 bits, got 1.5'),
        (dict(seed=[1.5]), 'a seed has to be an integer of 64 bits, got 1.5'),
        (dict(seed=[]), 'got 0 for 1 images'),
        (dict(num_images=True), 'num_images has to be an integer of at least 1, got True'),
        (dict(sigmas=[1e300]), 'sigmas must strictly decrease'),
        (dict(latents=torch.full((1, 1, 8, 8), float('nan'))), 'latents have to be finite'),
        (dict(class_labels=3), 'there is no argument class_labels: what is class_labels in diffusers is labels here'),
        (dict(speed=3), 'there is no argument speed'),
        (dict(labels='²'), "no class is called '²'"),
        (dict(labels='--5'), "no class is called '--5'"),
        (dict(latents=np.zeros((1, 1, 8, 8), np.float32)), 'latents have to be a tensor, got ndarray'),
        (dict(latents=[1, 2]), 'latents have to be a tensor, got list'),
        (dict(callback=3), 'callback has to be a function'),
        (dict(output_type='jpg'), "output_type has to be pil, np, pt, data_sample, got 'jpg'"),
        (dict(callback_steps=0), 'callback_steps has to be an integer of at least 1'),
        (dict(clip=float('nan')), 'clip has to be True or False, got nan'),
        (dict(sigmas=[80, float('nan')]), 'each of it a number'),
        (dict(seed=torch.tensor(5.0)), 'a seed has to be an integer of 64 bits'),
        (dict(batch_size=0), 'batch_size has to be an integer of at least 1'),
    ],
)
def test_request_that_cannot_be_met_is_refused_before_anything_is_read(arguments, message):
    draw = ConsistencyModelInferencer('digits', device='cpu')
    with pytest.raises(InputError, match=message):
        draw(**arguments)
    assert not draw.loaded


@contextmanager
def defaults(dtype=None, device=None):
    """Have torch's defaults changed within the block."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype or before)
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
        torch.set_default_device(None)


# 'meta' stands for a GPU: a tensor that is made there has no values, and what is computed from it fails.
@pytest.mark.parametrize(
    'changed',
    [dict(dtype=torch.float64), dict(dtype=torch.float16), dict(dtype=torch.bfloat16), dict(device='meta')],
    ids=str,
)
def test_pictures_of_a_seed_are_the_same_under_all_defaults_of_torch(tmp_path, checkpoint, inferencer, changed):
    config = write_config(tmp_path)
    expected = inferencer(3, seed=5, output_type='pt')
    with defaults(**changed):
        built = ConsistencyModelInferencer(config, checkpoint, 'cpu')
        heun = ConsistencyModelInferencer(config, checkpoint, 'cpu', dict(type='HeunSampler', num_steps=2, s_churn=1.0))
        churned = heun(2, 'balanced').pixels
        assert torch.equal(built(3, seed=5, output_type='pt').images, expected.images)
        assert torch.equal(inferencer(3, seed=5, output_type='pt').images, expected.images)
    heun = ConsistencyModelInferencer(config, checkpoint, 'cpu', dict(type='HeunSampler', num_steps=2, s_churn=1.0))
    assert torch.equal(heun(2, 'balanced').pixels, churned)


@pytest.mark.parametrize('mode', [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_pictures_of_a_seed_are_the_same_in_all_grad_modes(inferencer, mode):
    expected = inferencer(3, seed=5).pixels
    with mode():
        assert torch.equal(inferencer(3, seed=5).pixels, expected)


def test_plain_seed_draws_the_labels_that_it_always_drew(inferencer):
    assert inferencer(4, seed=5).labels == [1, 4, 7, 5] and inferencer(4).labels == [4, 9, 3, 0]


@pytest.mark.parametrize('make', [torch.tensor, np.int64, np.array, np.uint8], ids=lambda make: make.__name__)
def test_seed_is_an_integer_of_any_library(inferencer, make):
    drawing = inferencer(4, seed=make(5))
    assert drawing.labels == [1, 4, 7, 5] and list(drawing.seeds) == [20, 21, 22, 23]


@pytest.mark.parametrize('make', [list, tuple, np.array, torch.tensor], ids=lambda make: make.__name__)
def test_each_seed_of_a_list_decides_on_its_picture_and_label_alone(inferencer, make):
    seeds = [7, 3, 12, 5, 3]
    drawing = inferencer(seed=make(seeds))
    alone = [inferencer(1, seed=seed) for seed in seeds]
    assert drawing.labels == [label for each in alone for label in each.labels] and len(set(drawing.labels)) > 2
    assert drawing.seeds == seeds and all(isinstance(seed, int) for seed in drawing.seeds)
    assert (drawing.pixels.int() - torch.cat([each.pixels for each in alone]).int()).abs().max() <= 1
    assert inferencer(seed=make(seeds[::-1])).labels == drawing.labels[::-1]


def test_random_labels_follow_the_generator_which_draws_the_same_noise(inferencer):
    def generator(seed):
        return torch.Generator().manual_seed(seed)

    drawings = [inferencer(16, generator=generator(seed)) for seed in (1, 2, 1)]
    assert drawings[0].labels == drawings[2].labels != drawings[1].labels
    assert torch.equal(drawings[0].pixels, drawings[2].pixels)
    given = inferencer(16, drawings[0].labels, generator=generator(1))
    assert torch.equal(given.pixels, drawings[0].pixels)
    both = generator(1)
    assert inferencer(16, generator=both).labels != inferencer(16, generator=both).labels  # it has moved on


def test_each_generator_of_a_list_decides_on_its_label(inferencer):
    generators = [[torch.Generator().manual_seed(seed) for seed in seeds] for seeds in ((1, 2, 3, 4), (4, 9, 2, 1))]
    first, second = (inferencer(generator=each).labels for each in generators)
    assert first[0] == second[3] and first[1] == second[2] and first[3] == second[0]


@pytest.mark.parametrize('clip', [True, False])
@pytest.mark.parametrize('value', [float('nan'), float('inf')])  # infinities would be clipped to white
def test_diverged_weights_draw_no_picture(inferencer, value, clip):
    with torch.no_grad():
        inferencer.load().model.denoiser.backbone.out[2].bias.fill_(value)
    with pytest.raises(NotFiniteError, match=r'1 of its \d+ weights are not: backbone.out.2.bias'):
        inferencer(2, clip=clip)


def test_overflow_of_half_precision_draws_no_picture(tmp_path):
    model = build()
    with torch.no_grad():
        model.denoiser.backbone.input_blocks[0][0].weight.mul_(1e6)
    path, config = str(tmp_path / 'large.pt'), write_config(tmp_path)
    torch.save(model.denoiser.backbone.state_dict(), path)
    assert ConsistencyModelInferencer(config, path, 'cpu')(2).pixels.float().std() > 0
    with pytest.raises(NotFiniteError, match='in float16.*--dtype bfloat16 or float32'):
        ConsistencyModelInferencer(config, path, 'cpu', dtype='float16')(2)


@pytest.fixture
def with_null_class(tmp_path):
    """An inferencer of a tiny model whose network has a null class."""
    denoiser = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, null_class=True))
    torch.save(build(denoiser=denoiser).denoiser.backbone.state_dict(), tmp_path / 'null.pt')
    path = tmp_path / 'null.py'
    path.write_text(f'model = {model_config(denoiser=denoiser)!r}\n')
    return ConsistencyModelInferencer(path, str(tmp_path / 'null.pt'), 'cpu')


def test_guidance_is_an_argument_of_a_request(with_null_class):
    plain, same, guided = (
        with_null_class(labels=[3, 4], output_type='pt', **options)
        for options in ({}, dict(guidance=1), dict(guidance=3.0))
    )
    assert torch.equal(plain.images, same.images) and not torch.equal(plain.images, guided.images)
    assert (plain.nfe, same.nfe, guided.nfe) == (2, 2, 4)
    partly = with_null_class(labels=[3, 4], guidance=3.0, guidance_interval=(0.0, 50.0), output_type='pt')
    assert partly.nfe == 3 and not torch.equal(partly.images, guided.images)
    expected = with_null_class.model.sample(2, [3, 4], guidance=Guidance(3.0))
    assert torch.allclose(guided.images, (expected / 2 + 0.5).clamp(0, 1), atol=1e-6)


def test_guidance_that_cannot_be_had_is_refused_before_weights_are_read(inferencer, with_null_class):
    with pytest.raises(InputError, match='null_class=True'):
        inferencer(labels=[3], guidance=1.5)
    with pytest.raises(InputError, match='what is guidance_scale in diffusers is guidance here'):
        with_null_class(labels=[3], guidance_scale=1.5)
    with pytest.raises(InputError, match='two noise levels'):
        with_null_class(labels=[3], guidance=1.5, guidance_interval=(2.0, 1.0))
    assert not inferencer.loaded and not with_null_class.loaded


def test_output_records_guidance_and_is_of_another_request(with_null_class, tmp_path):
    out = tmp_path / 'x.npz'
    first = sample_to_files(with_null_class, out, labels=[3, 4])
    content = out.read_bytes()
    assert 'guidance' not in read_origin(out) and first.nfe == 2
    assert not sample_to_files(with_null_class, out, labels=[3, 4], guidance=1).written
    guided = sample_to_files(with_null_class, out, labels=[3, 4], guidance=3.0, guidance_interval=(0.0, 50.0))
    assert guided.written and guided.nfe == 3
    assert read_origin(out)['guidance'] == dict(scale=3.0, interval=[0.0, 50.0])
    assert not sample_to_files(with_null_class, out, labels=[3, 4], guidance=3.0, guidance_interval=[0, 50]).written
    assert sample_to_files(with_null_class, out, labels=[3, 4]).written
    assert out.read_bytes() == content


def test_compiled_network_gives_the_same_images(inferencer):
    import torch._dynamo as dynamo

    weights, config = inferencer.checkpoint, inferencer.name
    compiled = ConsistencyModelInferencer(config, weights, device='cpu', compile=dict(backend='eager'))
    names = list(compiled.model.state_dict())
    dynamo.utils.counters.clear()
    drawing = compiled(labels=[3, 1, 4], seed=2)
    assert dynamo.utils.counters['stats']['unique_graphs'] > 0
    assert (drawing.pixels.int() - inferencer(labels=[3, 1, 4], seed=2).pixels.int()).abs().max() <= 1
    assert list(compiled.model.state_dict()) == names
    assert drawing.provenance()['compiled'] is True and 'compiled' not in inferencer(1).provenance()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which('g++') is None, reason='no C++ compiler')
def test_compiler_of_torch_gives_the_images_of_the_network(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', str(tmp_path / 'cache'))
    compiled = ConsistencyModelInferencer('digits', device='cpu', compile=True)(3, seed=1)
    plain = ConsistencyModelInferencer('digits', device='cpu')(3, seed=1)
    assert any((tmp_path / 'cache').rglob('*.so'))
    assert (compiled.pixels.int() - plain.pixels.int()).abs().max() <= 1
