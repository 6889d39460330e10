import numpy as np
import pytest
import torch
from PIL import Image

from mmcm.apis.editing import TASKS, EditResult, edit, edit_picture, open_image, plan, plan_picture
from mmcm.apis.editing.tasks import opened, whole
from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.operators import Inpainting
from mmcm.samplers import MultistepSampler
from mmcm.utils.errors import InputError

IMAGE = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
MASK = torch.zeros(1, 1, 8, 8)
MASK[..., 4:, :] = 1
FOUR = MultistepSampler(indices=(0, 10, 20, 30), num_scales=40)


def test_candidates_are_those_of_the_model(inferencer):
    edited = edit(inferencer, IMAGE, Inpainting(MASK), 3, num_candidates=3, sampler=FOUR)
    assert edited.candidates.dtype == torch.uint8 and edited.candidates.shape == (3, 1, 8, 8)
    expected = inferencer.model.edit(IMAGE, Inpainting(MASK), 3, num_candidates=3, sampler=FOUR)[0]
    assert torch.equal(edited.candidates, inferencer.model.data_preprocessor.destruct(expected))
    assert edited.labels == [3, 3, 3] and edited.nfe == 4
    assert torch.equal(edited.known[:, :4], edited.picture[:, :4]) and (edited.known[:, 4:] == 128).all()


def test_candidates_do_not_depend_on_the_batches_or_on_how_many_there_are(inferencer, monkeypatch):
    together = edit(inferencer, IMAGE, Inpainting(MASK), [3, 4, 5], num_candidates=5, sampler=FOUR)
    monkeypatch.setattr(type(inferencer), 'batch_size', 2)
    apart = edit(inferencer, IMAGE, Inpainting(MASK), [3, 4, 5], num_candidates=5, sampler=FOUR)
    fewer = edit(inferencer, IMAGE, Inpainting(MASK), [3, 4, 5], num_candidates=3, sampler=FOUR)
    assert together.labels == apart.labels == [3, 4, 5, 3, 4]
    assert (together.candidates.int() - apart.candidates.int()).abs().max() <= 1
    assert (fewer.candidates.int() - apart.candidates[:3].int()).abs().max() <= 1


def test_seed_makes_the_candidates(inferencer):
    one, again, other = (
        edit(inferencer, IMAGE, Inpainting(MASK), 3, num_candidates=1, seed=seed, sampler=FOUR) for seed in (1, 1, 2)
    )
    assert torch.equal(one.candidates, again.candidates) and not torch.equal(one.candidates, other.candidates)


def test_seed_of_numpy_is_as_good_as_one_of_python(inferencer):
    labels = [
        edit(inferencer, IMAGE, Inpainting(MASK), 'random', 20, seed, FOUR).labels for seed in (7, np.int64(7), 0)
    ]
    assert labels[0] == labels[1] != labels[2]


def test_candidates_that_do_not_fit_the_memory_are_halved_for_good_and_stay_the_same(inferencer, monkeypatch):
    expected = edit(inferencer, IMAGE, Inpainting(MASK), [3, 4, 5], num_candidates=7, sampler=FOUR)
    asked, sound = [], type(inferencer.model).edit

    def tight(model, image, operator, labels, num_candidates, *args, **options):
        asked.append(num_candidates)
        if num_candidates > 2:
            raise torch.cuda.OutOfMemoryError('out of memory')
        return sound(model, image, operator, labels, num_candidates, *args, **options)

    monkeypatch.setattr(type(inferencer.model), 'edit', tight)
    edited = edit(inferencer, IMAGE, Inpainting(MASK), [3, 4, 5], num_candidates=7, sampler=FOUR)
    assert asked == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert edited.labels == expected.labels and edited.candidates.shape == (7, 1, 8, 8)
    assert (edited.candidates.int() - expected.candidates.int()).abs().max() <= 1


def test_mask_may_lie_where_the_picture_does_not(inferencer):
    inferencer.load()
    operator = Inpainting(MASK)
    moved = []
    operator.to = lambda device: moved.append(device) or Inpainting(MASK)
    edit(inferencer, IMAGE, operator, 3, num_candidates=1, sampler=FOUR)
    assert moved == [IMAGE.device, inferencer.device]


def test_many_levels_unless_told_otherwise(inferencer):
    assert edit(inferencer, IMAGE, Inpainting(MASK), 3, num_candidates=1).nfe == 39


@pytest.mark.parametrize(
    'options, match',
    [
        (dict(num_candidates=0), 'num_candidates'),
        (dict(labels=10), 'out of range'),
        (dict(operator=Inpainting(torch.zeros(1, 1, 4, 4))), 'does not fit'),
        (dict(seed=2**80), 'seed'),
        (dict(image=IMAGE[..., :4]), 'does not fit'),
    ],
)
def test_bad_requests_are_refused_before_the_weights_are_read(inferencer, options, match):
    request = dict(image=IMAGE, operator=Inpainting(MASK), labels=3)
    with pytest.raises(InputError, match=match):
        edit(inferencer, **{**request, **options})
    assert not inferencer.loaded


@pytest.mark.parametrize('turned', [False, True])
def test_filled_in_picture_has_its_own_size_and_its_own_pixels(inferencer, turned):
    """Of 90 x 60 pixels the model sees the 60 in the middle, of which the mask leaves the first half."""
    picture = np.random.RandomState(0).randint(0, 256, (90, 60, 3)).astype(np.uint8)
    mask = np.zeros((90, 60), np.uint8)
    mask[45:] = 255
    if turned:
        picture, mask = picture.swapaxes(0, 1), mask.T
    edited = edit_picture(
        inferencer,
        'inpaint',
        np.ascontiguousarray(picture),
        3,
        num_candidates=2,
        sigmas=(80, 5),
        mask=np.ascontiguousarray(mask),
        region='square',
    )
    for result, candidate in zip(edited.pasted, edited.candidates):
        pixels, drawn = np.asarray(result), candidate[0].numpy()
        enlarged = np.asarray(Image.fromarray(drawn).resize((60, 60), Image.Resampling.LANCZOS))
        if turned:
            pixels, picture_there, enlarged = pixels.swapaxes(0, 1), picture.swapaxes(0, 1), enlarged.T
        else:
            picture_there = picture
        assert np.array_equal(pixels[:45], picture_there[:45])  # what the mask leaves
        assert np.array_equal(pixels[75:], picture_there[75:])  # what the model does not see
        assert np.abs(pixels[45:75].astype(int) - enlarged[30:60, :, None]).max() <= 1


def test_picture_of_the_models_size_needs_no_pasting(inferencer):
    assert edit_picture(inferencer, 'variations', np.zeros((8, 8), np.uint8), 3).pasted is None


def test_steps_are_kept_when_asked_for(inferencer):
    heard = []
    edited = edit(inferencer, IMAGE, Inpainting(MASK), 3, num_candidates=3, sampler=FOUR, keep_steps=True)
    assert edited.steps.shape == (3, 4, 1, 8, 8) and torch.equal(edited.steps[:, -1], edited.candidates)
    assert edit(inferencer, IMAGE, Inpainting(MASK), 3, sampler=FOUR).steps is None
    inferencer.model.edit(IMAGE, Inpainting(MASK), 3, 3, sampler=FOUR, callback=lambda *state: heard.append(state[3]))
    assert torch.equal(edited.steps[:, 1], inferencer.model.data_preprocessor.destruct(heard[1]))


def test_known_is_shown_as_grey_as_the_mask_is_white(inferencer):
    mask = np.zeros((8, 8), np.uint8)
    mask[0], mask[1] = 255, 51
    edited = edit_picture(inferencer, 'inpaint', np.full((8, 8), 255, np.uint8), 3, mask=mask, num_steps=1)
    assert edited.known[0, :3, 0].tolist() == [128, 230, 255]  # 51 of 255 are a fifth of the way from white to grey
    assert torch.equal(edited.mask, torch.from_numpy(mask)[None])


def test_photograph_of_pillows_is_turned_as_its_camera_was_held(inferencer, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.arange(0, 240, dtype=np.uint8).reshape(12, 20)).save(tmp_path / 'a.png', exif=exif)
    with Image.open(tmp_path / 'a.png') as opened:
        assert open_image(opened).size == open_image(tmp_path / 'a.png').size == (12, 20)


def test_denoising_has_one_result_unless_told_otherwise(inferencer):
    noisy = np.zeros((8, 8), np.uint8)
    assert len(edit_picture(inferencer, 'denoise', noisy, 3, sigma=0.5).candidates) == 1
    assert len(edit_picture(inferencer, 'denoise', noisy, 3, 2, sigma=0.5).candidates) == 2
    assert len(edit_picture(inferencer, 'variations', noisy, 3).candidates) == 4


@pytest.mark.parametrize('task, first', [('stroke', 5.38), ('variations', 1.0)])
def test_models_with_levels_of_their_own_begin_at_the_first_of_the_task(task, first):
    heard = []
    diffusion = ConsistencyModelInferencer('edm_digits', device='cpu')
    planned = plan_picture(diffusion, task, np.zeros((8, 8), np.uint8), 3, num_candidates=1, num_steps=4)
    edited = planned.run(callback=lambda step, sigma, *_: heard.append((step, sigma)))
    assert [step for step, _ in heard] == [0, 1, 2, 3] and heard[0][1] == pytest.approx(first)
    assert edited.nfe == planned.request.sampler.nfe == 7


@pytest.mark.parametrize(
    'arguments, match',
    [
        (dict(task='sharpen'), "task has to be one of inpaint, uncrop, .* got 'sharpen'"),
        (dict(task='inpaint'), 'inpaint takes mask, resize_mask, got none'),
        (dict(task='stroke', factor=2), 'takes no further arguments, got factor'),
        (dict(task='stroke', img=np.zeros((8, 8))), r'pixels \(H, W, 3\).*float64'),
        (dict(task='stroke', img='nowhere.png'), 'no image nowhere.png'),
        (dict(task='stroke', img=np.zeros((8, 8), bool)), 'uint8 from 0 to 255.*bool'),
        (dict(task='stroke', img=np.zeros((8, 8, 2), np.uint8)), r'\(8, 8, 2\)'),
        (dict(task='stroke', img=np.zeros((0, 8), np.uint8)), r'\(0, 8\)'),
        (dict(task='stroke', img=np.zeros((2, 8, 8, 3), np.uint8)), r'\(2, 8, 8, 3\)'),
        (dict(task='stroke', img=Image.new('RGB', (0, 3))), 'no pixels, its size is 0 x 3'),
        (dict(task='stroke', img=Image.new('F', (8, 8))), 'floating point'),
        (dict(task='stroke', img=Image.new('L', (9000, 9000))), '9000 x 9000 pixels'),
        (dict(task='stroke', img=None), 'got NoneType'),
        (dict(task='stroke', img=torch.zeros(8, 8)), 'got Tensor'),
        (dict(task='inpaint', mask=None), 'got NoneType'),
        (dict(task='stroke', sigmas='abc'), 'each of it a number'),
        (dict(task='stroke', sigmas=()), 'sigmas'),
        (dict(task='uncrop', share='half'), "share has to be a number, got 'half'"),
        (dict(task='denoise', sigma='much'), "sigma has to be a number, got 'much'"),
        (dict(task='denoise', sigma=0.5, sigmas=(0.6, 0.2)), 'starts at sigma 0.5'),
        (dict(task='denoise', sigma=0.5, num_steps=2), 'give sigmas'),
        (dict(task='deblur', kernel=1), 'kernel has to be a list'),
        (dict(task='deblur', kernel=['a', 'b', 'c']), 'each weight of a kernel has to be a number'),
        (dict(task='deblur', kernel=[[1, 2, 1]]), 'each weight of a kernel has to be a number'),
        (dict(task=['inpaint']), 'task has to be one of'),
    ],
)
def test_wrong_requests_are_refused(inferencer, arguments, match):
    with pytest.raises(InputError, match=match):
        edit_picture(inferencer, **{**dict(img=np.zeros((8, 8), np.uint8)), **arguments})
    assert not inferencer.loaded


def ramp(height, width):
    rows, columns = np.mgrid[:height, :width]
    return (40 + 100 * rows / height + 100 * columns / width).astype(np.uint8)


def test_hole_outside_of_the_central_square_is_filled_at_the_size_of_the_picture(inferencer):
    """It is so small that nothing has to be reduced: the model sees 8 x 8 pixels around it."""
    picture, mask = ramp(40, 90), np.zeros((40, 90), np.uint8)
    mask[10:14, 2:6] = 255
    planned = plan_picture(inferencer, 'inpaint', picture, 3, 2, num_steps=2, mask=mask)
    assert planned.place.part == (0, 8, 8, 16) and len(planned.tiles) == 1 and '1 tile of 8 x 8' in planned.note
    edited = planned.run()
    for candidate, pasted in zip(edited.candidates, edited.pasted):
        pixels = np.asarray(pasted)
        assert np.array_equal(pixels[mask == 0], np.repeat(picture[mask == 0][:, None], 3, 1))
        assert np.array_equal(pixels[10:14, 2:6, 0], candidate[0, 2:6, 2:6].numpy())
    with pytest.raises(InputError, match='marks nothing in the central square'):
        plan_picture(inferencer, 'inpaint', picture, 3, mask=mask, region='square')
    with pytest.raises(InputError, match='the mask marks nothing: paint'):
        plan_picture(inferencer, 'inpaint', picture, 3, mask=np.zeros_like(mask))


def test_picture_is_reduced_until_half_a_tile_is_known(inferencer):
    mask = np.zeros((100, 100), np.uint8)
    mask[40:60, 50:70] = 255
    planned = plan_picture(inferencer, 'inpaint', ramp(100, 100), 3, mask=mask, num_steps=1)
    assert len(planned.tiles) == 1 and 3 <= planned.mask.amax((0, 1)).amax(0).sum() <= 6
    finer = plan_picture(inferencer, 'inpaint', ramp(100, 100), 3, mask=mask, num_steps=1, side=100)
    assert finer.tiles.shape == (20, 20) or (finer.tiles.shape[0] >= 20 and len(finer.tiles) > 9)


def test_small_picture_is_enlarged_in_tiles_and_keeps_its_means(inferencer):
    picture = ramp(9, 14)
    edited = edit_picture(inferencer, 'super-resolve', picture, 3, num_candidates=1, num_steps=2, factor=2)
    assert edited.candidates.shape == (1, 1, 18, 28) and edited.num_tiles == 4 * 6
    means = edited.candidates[0, 0].double().reshape(9, 2, 14, 2).mean((1, 3)).numpy()
    inner = (edited.candidates[0, 0].numpy().reshape(9, 2, 14, 2).min((1, 3)) > 0) & (
        edited.candidates[0, 0].numpy().reshape(9, 2, 14, 2).max((1, 3)) < 255
    )
    assert inner.any() and np.abs(means - picture)[inner].max() <= 1


def test_picture_is_denoised_as_large_as_it_is(inferencer):
    picture = ramp(20, 30)
    edited = edit_picture(inferencer, 'denoise', picture, 3, sigma=0.0025)
    assert edited.candidates.shape == (1, 1, 20, 30) and edited.pasted is None
    assert np.abs(edited.candidates[0, 0].numpy().astype(int) - picture).max() <= 2


def test_edit_that_takes_too_many_calls_is_of_the_central_square_or_refused(inferencer):
    options = dict(labels=3, num_candidates=2, num_steps=2, factor=2, max_calls=95)
    for region in (None, 'whole'):  # a small square is no enlargement
        with pytest.raises(InputError, match=r'takes 96 network evaluations.*is 95: raise it.*--region square'):
            plan_picture(inferencer, 'super-resolve', ramp(9, 14), region=region, **options)
    planned = plan_picture(inferencer, 'denoise', ramp(18, 28), 3, num_candidates=2, sigma=0.5, max_calls=47)
    assert (
        planned.tiles is None and 'the whole image takes 48 network evaluations, 24 tiles for each of 2' in planned.note
    )
    assert plan_picture(inferencer, 'super-resolve', ramp(9, 14), **{**options, 'max_calls': 96}).tiles is not None


def test_tiles_are_drawn_alike_in_any_batches(inferencer, monkeypatch):
    picture, mask = ramp(30, 30), np.zeros((30, 30), np.uint8)
    mask[4:26, 14:17] = 255
    request = dict(labels=[3, 4], num_candidates=2, num_steps=2, mask=mask)
    together = edit_picture(inferencer, 'inpaint', picture, **request).candidates.int()
    monkeypatch.setattr(type(inferencer), 'batch_size', 3)
    assert (edit_picture(inferencer, 'inpaint', picture, **request).candidates.int() - together).abs().max() <= 1


@pytest.mark.parametrize(
    'task, options',
    [('super-resolve', dict(factor=1000)), ('colorize', dict(side=2048)), ('denoise', dict(sigma=0.5, max_calls=9))],
)
def test_picture_that_takes_too_many_calls_is_not_scaled(inferencer, monkeypatch, task, options):
    """Which would take tens of GB here."""
    made = []
    for name in ('scale_image', 'covering_tiles'):
        monkeypatch.setattr(f'mmcm.apis.editing.tasks.{name}', lambda *args: made.append(args))
    with pytest.raises(InputError, match='the whole image takes .* network evaluations'):
        plan_picture(inferencer, task, ramp(400, 700), 3, region='whole', **options)
    assert made == []
    if task == 'denoise':
        assert 'the central square' in plan_picture(inferencer, task, ramp(400, 700), 3, **options).note


def test_mask_that_would_be_scaled_to_too_many_pixels_is_refused(inferencer):
    with pytest.raises(InputError, match='scaled from 40000 x 1 to .* pixels, more than .*--region square'):
        plan_picture(inferencer, 'inpaint', ramp(1, 40000), 3, mask=np.full((1, 40000), 255, np.uint8), side=2048)


@pytest.mark.parametrize(
    'task, options',
    [
        ('super-resolve', dict(factor=3)),
        ('colorize', {}),
        ('denoise', dict(sigma=0.5)),
        ('inpaint', dict(mask=np.eye(20, 33, dtype=np.uint8) * 255)),
    ],
)
def test_tiles_are_counted_as_they_are_made(inferencer, task, options):
    found = whole(opened(TASKS[task](**options)), open_image(ramp(20, 33)), (1, 8, 8), None)
    prepared = found.prepare()
    assert found.num_tiles == len(prepared.tiles) > 1 and prepared.image.shape[2:] == prepared.tiles.shape


def test_pictures_that_are_not_finite_are_refused_before_anything_is_read(inferencer):
    with pytest.raises(InputError, match='the images to edit have to be finite'):
        edit(inferencer, IMAGE * float('nan'), Inpainting(MASK), 3, sampler=FOUR)
    assert not inferencer.loaded


def test_random_label_of_a_candidate_follows_its_seed(inferencer):
    def edited(seed, count):
        return edit(inferencer, IMAGE, Inpainting(MASK), num_candidates=count, seed=seed, sampler=FOUR)

    together = edited(torch.tensor([7, 3, 12]), 3)
    alone = [edited(seed, 1) for seed in (7, 3, 12)]
    assert together.labels == [each.labels[0] for each in alone] and len(set(together.labels)) > 1
    assert edited(torch.tensor(5), 2).labels == edited(5, 2).labels == inferencer(2, seed=5).labels


@pytest.mark.parametrize('dtype', [torch.float64, torch.float16])
@pytest.mark.parametrize(
    'task, options',
    [
        ('inpaint', dict(mask=Image.fromarray(np.uint8([[0] * 8] * 4 + [[255] * 8] * 4)))),
        ('uncrop', dict(share=0.5)),
        ('super-resolve', dict(factor=2)),
        ('deblur', dict(kernel=(1, 2, 1))),
        ('variations', {}),
    ],
)
def test_edits_of_a_seed_are_the_same_under_all_default_dtypes(inferencer, task, options, dtype):
    picture = Image.fromarray(np.random.RandomState(0).randint(0, 256, (8, 8), np.uint8))

    def edited():
        return edit_picture(inferencer, task, picture, 3, num_candidates=1, sigmas=(2.0, 0.5), **options)

    expected = edited()
    torch.set_default_dtype(dtype)
    try:
        again = edited()
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(again.candidates, expected.candidates) and torch.equal(again.known, expected.known)


def test_plan_is_run_by_its_old_name_too(inferencer):
    planned = plan_picture(inferencer, 'variations', np.zeros((8, 8), np.uint8), 3, num_candidates=1)
    with pytest.warns(DeprecationWarning, match='draw is run now'):
        assert isinstance(planned.draw(), EditResult)


def test_what_is_known_is_computed_once_for_all_batches(inferencer, monkeypatch):
    calls, sound = [], Inpainting.degrade
    monkeypatch.setattr(Inpainting, 'degrade', lambda *args: calls.append(args) or sound(*args))
    monkeypatch.setattr(type(inferencer), 'batch_size', 2)
    edit(inferencer, IMAGE, Inpainting(MASK), 3, num_candidates=5, sampler=FOUR)
    assert len(calls) == 1


def test_mask_is_shown_for_tasks_and_not_for_operators(inferencer):
    mask = Image.fromarray(np.uint8([[0] * 8] * 4 + [[255] * 8] * 4))
    planned = plan_picture(inferencer, 'inpaint', np.zeros((8, 8), np.uint8), 3, 1, num_steps=1, mask=mask)
    assert torch.equal(planned.mask, MASK) and planned.run().mask is not None
    assert edit(inferencer, IMAGE, Inpainting(MASK), 3, num_candidates=1, sampler=FOUR).mask is None


def test_plan_takes_an_image_and_an_operator(inferencer):
    planned = plan(inferencer, IMAGE, Inpainting(MASK), 3, 2, 5, FOUR, note='a quarter')
    expected = edit(inferencer, IMAGE, Inpainting(MASK), 3, 2, 5, FOUR)
    assert torch.equal(planned.run().candidates, expected.candidates)
    assert planned.note == 'a quarter' and planned.task is None and planned.shown is IMAGE
