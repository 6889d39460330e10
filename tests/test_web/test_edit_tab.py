import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip('gradio')

from gradio_client import handle_file
from gradio_client.exceptions import AppError

from mmcm.apis import ConsistencyModelInferencer
from mmcm.apis.editing import TASKS, edit_picture
from mmcm.apis.editing.images import fit_image, open_image
from mmcm.datasets.digits import DigitsDataset
from mmcm.datasets.photo_patches import PhotoPatches
from mmcm.utils.errors import InputError
from mmcm.utils.images import to_pixels
from mmcm.web.edit_tab import WORDS, factors_of, first, numbers_of, options_of, sentences, steps_of
from mmcm.web.examples import KINDS, SIDE, enlarged
from support.digits import BACKBONE, build, model_config, write_config

SEED = 5
ASKED = dict(task='inpaint', model='digits', label='3', picture=None, count=2, seed=SEED, steps=0, sigmas='', factor=2,
             share=0.5, kernel='1 2 1', sigma=0.3)  # yapf: disable
OPTIONS = dict(inpaint=[], uncrop=['share'], deblur=['kernel'], denoise=['sigma'], colorize=[], stroke=[],
               variations=[]) | {'super-resolve': ['factor']}  # yapf: disable


@pytest.fixture(scope='module')
def digit(tmp_path_factory):
    """A file: a digit of 3, enlarged as examples are."""
    labels = DigitsDataset('test')
    path = tmp_path_factory.mktemp('pictures') / 'three.png'
    image = next(sample['inputs'] for sample in (labels[i] for i in range(len(labels))) if sample['gt_label'] == 3)
    enlarged(Image.fromarray(image[0].numpy())).save(path)
    return path


@pytest.fixture(scope='module')
def paint(tmp_path_factory):
    """A file: paint over the lower half of that picture."""
    path = tmp_path_factory.mktemp('paint') / 'paint.png'
    layer = Image.new('RGBA', (SIDE, SIDE))
    layer.paste((255, 0, 0, 128), (0, SIDE // 2, SIDE, SIDE))
    layer.save(path)
    return path


def canvas(background=None, *layers):
    """Return what the page sends of the canvas."""
    background, *layers = (None if path is None else handle_file(str(path)) for path in (background, *layers))
    return dict(background=background, layers=layers, composite=None)


def ask(client, models, **changes):
    asked = {**ASKED, **changes}
    return client.predict(*asked.values(), api_name='/edit')


def shown(gallery):
    """Return the pictures of a gallery, (H, W, 3), uint8, and its captions."""
    gallery = gallery['value'] if isinstance(gallery, dict) else gallery
    return [np.asarray(Image.open(each['image']).convert('RGB')) for each in gallery], [
        each['caption'] for each in gallery
    ]


def assert_enlarged(pictures, images):
    """Hold that pictures are images (N, C, H, W), each pixel a square."""
    assert len(pictures) == len(images)
    for picture, image in zip(pictures, images):
        pixels = to_pixels(image)
        step = picture.shape[0] // pixels.shape[0]
        assert picture.shape[0] == SIDE
        assert np.abs(picture.astype(int) - pixels.repeat(step, 0).repeat(step, 1)).max() <= 1


@pytest.mark.parametrize('task', TASKS)
def test_candidates_are_those_of_the_command_line(client, models, digit, paint, task):
    model, label = ('colour', None) if task == 'colorize' else ('digits', '3')
    layers = [paint] if task == 'inpaint' else []
    gallery, known, _, words = ask(client, models, task=task, model=model, picture=canvas(digit, *layers))
    options = {name: dict(ASKED, kernel=[1, 2, 1])[name] for name in OPTIONS[task]}
    if task == 'inpaint':
        options['mask'] = np.repeat([[0], [255]], SIDE // 2, axis=0).repeat(SIDE, 1).astype(np.uint8)
    inferencer = ConsistencyModelInferencer(getattr(models, model), device='cpu')
    expected = edit_picture(inferencer, task, digit, label, 2, SEED, region='square', **options)
    pictures, captions = shown(gallery)
    assert_enlarged(pictures, expected.candidates)
    assert_enlarged(shown(known)[0], [expected.picture, expected.known])
    assert captions == ([None] * 2 if label is None else ['3'] * 2)
    assert 'per image**: 2 images' in words and f'{expected.nfe} network evaluation' in words


def test_other_steps_and_levels_are_taken(client, models, digit):
    for changes, calls in ((dict(steps=3), '3 network evaluations'), (dict(sigmas='5, 1'), '2 network evaluations')):
        *_, words = ask(client, models, task='super-resolve', picture=canvas(digit), **changes)
        assert calls in words
    *_, words = ask(client, models, task='variations', model='diffusion', picture=canvas(digit), steps=4)
    assert '7 network evaluations' in words  # of Heun's method, whose last step takes one


def test_steps_that_a_task_has_no_use_for_are_forgotten_when_they_are_hidden(models):
    few, many = (ConsistencyModelInferencer(name, device='cpu') for name in (models.digits, models.diffusion))
    for task in ('stroke', 'variations', 'denoise'):
        assert (steps_of(few, task).visible, steps_of(few, task).value) == (False, 0)
        assert steps_of(many, task).visible
    assert steps_of(few, 'inpaint').visible


def test_result_is_put_back_into_a_photograph_that_was_turned(client, models, tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # to be turned to the right
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((1024, 768)).save(tmp_path / 'photo.jpg', exif=exif)
    layer = Image.new('RGBA', (768, 1024))
    layer.paste((0, 0, 0, 255), (0, 512, 768, 700))
    layer.save(tmp_path / 'layer.png')
    picture = canvas(tmp_path / 'photo.jpg', tmp_path / 'layer.png')
    *_, pasted, _ = ask(client, models, model='colour', label='', picture=picture, count=1)
    (result,) = shown(pasted)[0]
    photo = np.asarray(open_image(tmp_path / 'photo.jpg'))
    kept = np.ones(photo.shape[:2], bool)
    kept[512:700] = False
    assert pasted['visible'] and result.shape == (1024, 768, 3)
    assert (result[kept] == photo[kept]).all()
    assert (result[~kept] != photo[~kept]).mean() > 0.5


def test_of_large_pictures_only_the_first_results_are_put_back(models):
    colour = ConsistencyModelInferencer(models.colour, device='cpu')
    edited = edit_picture(
        colour, 'colorize', Image.new('RGB', (20, 10), 'red'), num_candidates=3, sigmas=[1], region='square'
    )
    assert [len(first(edited, edited.place, pixels).pasted) for pixels in (1, 399, 400, 10**9)] == [1, 1, 2, 3]


def test_picture_of_the_model_is_not_shown_twice(client, models, digit, paint):
    *_, pasted, _ = ask(client, models, picture=canvas(digit, paint))
    assert not pasted['visible'] and shown(pasted)[0] == []


def test_sketch_begins_on_a_blank_canvas(client, models, paint):
    _, known, _, _ = ask(client, models, task='stroke', model='colour', label='', picture=canvas(None, paint))
    seen = shown(known)[0][0]
    assert (seen[: SIDE // 2] == 255).all()
    assert np.abs(seen[SIDE // 2 :].astype(int) - (255, 127, 127)).max() <= 1


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(picture=canvas()), 'there is no image'),
        (dict(picture='digit'), 'nothing is marked'),
        (dict(picture='paint'), 'no image below the paint'),
        (dict(picture='both', count=17), 'greater than maximum value 16'),
        (dict(picture='both', steps=1000), 'maximum value 100'),
        (dict(picture='both', label='eleven'), 'eleven'),
        (dict(picture='both', sigmas='1 many'), 'have to be numbers'),
        (dict(picture='both', sigmas='1 2'), 'decrease'),
        (dict(picture='digit', task='deblur', kernel='1 2'), 'odd'),
        (dict(picture='digit', task='uncrop', share=0.99), 'maximum value 0.9'),
        (dict(picture='digit', task='colorize'), 'colo'),
        (dict(picture='digit', task='erase'), 'erase'),
    ],
)
def test_what_cannot_be_done_is_told(client, models, digit, paint, changes, message):
    pictures = dict(digit=canvas(digit), paint=canvas(None, paint), both=canvas(digit, paint))
    if isinstance(changes['picture'], str):
        changes = dict(changes, picture=pictures[changes['picture']])
    with pytest.raises(AppError, match=message):
        ask(client, models, **changes)


def test_page_has_words_and_controls_for_every_task():
    assert list(WORDS) == list(TASKS)
    controls = set(ASKED) | {'mask'}
    assert all(set(options_of(task)) <= controls for task in TASKS)


def test_numbers_are_separated_by_spaces_or_commas():
    assert numbers_of('they', ' 1 2.5,3, 4e-1 ') == [1, 2.5, 3, 0.4]
    assert numbers_of('they', '') == []
    for wrong in ('one', None, '1;2'):
        with pytest.raises(InputError, match='they have to be numbers'):
            numbers_of('they', wrong)


def test_examples_are_for_the_models_that_they_fit(models):
    digits, colour = (ConsistencyModelInferencer(name, device='cpu') for name in (models.digits, models.colour))
    titles = {inferencer: [kind.title for kind in KINDS if kind.fit(inferencer)] for inferencer in (digits, colour)}
    assert titles == {
        digits: ['sample of the model', 'handwritten digit'],
        colour: ['sample of the model', 'patch of a photograph', 'photograph'],
    }
    for inferencer, names in titles.items():
        for kind in KINDS:
            if kind.title in names:
                image, label = kind.get(inferencer, 3)
                assert np.asarray(image).std() > 1
                assert (label is not None) == (inferencer is digits)
                again, other = kind.get(inferencer, 3)[0], kind.get(inferencer, 4)[0]
                assert np.array_equal(image, again) and not np.array_equal(image, other)


def test_photograph_is_the_part_that_no_model_was_trained_on(models):
    photo, _ = KINDS[-1].get(ConsistencyModelInferencer(models.colour, device='cpu'), 0)
    held_out = PhotoPatches('test', 32).photos[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(np.asarray(photo), held_out)


@pytest.mark.parametrize(
    'size, shown_size',
    [
        ((8, 8), (512, 512)),
        ((32, 20), (512, 320)),
        ((300, 300), (300, 300)),
        ((1000, 2), (1000, 2)),
        ((512, 1), (512, 1)),
    ],
)
def test_small_picture_is_enlarged_and_is_the_same_to_the_model(size, shown_size):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
    large = enlarged(picture)
    assert large.size == shown_size
    if min(size) >= 8:
        np.testing.assert_array_equal(fit_image(large, 3, 8), fit_image(picture, 3, 8))


def test_model_of_other_proportions_says_what_it_sees_and_takes_factors_of_both_sides(tmp_path):
    backbone = dict(BACKBONE, image_size=(8, 12), in_channels=3, out_channels=3, num_classes=None)
    denoiser = dict(type='KarrasDenoiser', backbone=backbone)
    torch.save(build(denoiser=denoiser).denoiser.backbone.state_dict(), tmp_path / 'x.pt')
    config = write_config(tmp_path, model=model_config(denoiser=denoiser))
    inferencer = ConsistencyModelInferencer(config, tmp_path / 'x.pt', 'cpu')
    assert 'the central part of the image, scaled to 12 x 8 pixels' in sentences('colorize', inferencer)
    assert factors_of(inferencer)['choices'] == [2, 4]  # divisors of 8 and of 12
    for kind in KINDS:
        if kind.fit(inferencer):
            picture, _ = kind.get(inferencer, 0)
            assert min(picture.size) >= 8
            assert fit_image(enlarged(picture), 3, (8, 12)).shape == (8, 12, 3)


@pytest.mark.parametrize('task', ['inpaint', 'colorize', 'uncrop', 'deblur'])
def test_candidates_of_other_proportions_are_those_of_the_command_line(client, models, digit, paint, task):
    layers = [paint] if task == 'inpaint' else []
    gallery, *_ = ask(client, models, task=task, model='wide', label='no class', picture=canvas(digit, *layers))
    options = {name: dict(ASKED, kernel=[1, 2, 1])[name] for name in OPTIONS[task]}
    if task == 'inpaint':
        options['mask'] = np.repeat([[0], [255]], SIDE // 2, axis=0).repeat(SIDE, 1).astype(np.uint8)
    inferencer = ConsistencyModelInferencer(models.wide, device='cpu')
    expected = edit_picture(inferencer, task, digit, None, 2, SEED, region='square', **options)
    pictures, _ = shown(gallery)
    assert expected.candidates.shape == (2, 3, 8, 12)
    for picture, candidate in zip(pictures, expected.candidates, strict=True):
        step = picture.shape[0] // 8
        enlarged_candidate = to_pixels(candidate).repeat(step, 0).repeat(step, 1)
        assert picture.shape == enlarged_candidate.shape
        assert np.abs(picture.astype(int) - enlarged_candidate).max() <= 1
