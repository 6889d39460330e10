import numpy as np
import pytest
import torch
from PIL import Image

from mmcm.apis.editing.request import TASKS, Colorize, Deblur, Inpaint, Stroke, SuperResolve, Uncrop
from mmcm.apis.editing.tasks import square, whole
from mmcm.operators import Deblurring
from mmcm.utils.errors import InputError

PIXELS = np.random.RandomState(0).randint(0, 256, (8, 8, 3)).astype(np.uint8)
PICTURE = Image.fromarray(PIXELS)
TENSOR = torch.from_numpy(PIXELS).permute(2, 0, 1)[None].float() / 127.5 - 1


def grey(pixels):
    return Image.fromarray(np.asarray(pixels, np.uint8))


def test_white_of_the_mask_is_drawn_and_black_is_kept():
    mask = np.zeros((8, 8))
    mask[:, 5:] = 255
    image, operator, *_ = square(Inpaint(grey(mask)), PICTURE, (3, 8, 8))
    torch.testing.assert_close(image, TENSOR)
    kept = operator.keep(operator.degrade(image), torch.full_like(image, 0.5))
    assert torch.equal(kept[..., :5], image[..., :5]) and (kept[..., 5:] == 0.5).all()


def test_picture_and_mask_are_cropped_alike():
    """A wide picture; of the mask, half of the central square is white."""
    mask = np.zeros((16, 64))
    mask[:, :32] = 255
    operator = square(Inpaint(grey(mask)), Image.new('RGB', (64, 16)), (3, 8, 8)).operator
    assert (operator.mask[..., :4] == 1).all() and (operator.mask[..., 4:] == 0).all()


def test_mask_of_another_size_is_refused_unless_it_is_to_be_resized():
    mask = np.zeros((2, 4))
    mask[0, 2:] = 255
    with pytest.raises(InputError, match='4 x 2 pixels and the image of 8 x 8: .* --resize-mask .resize_mask=True'):
        square(Inpaint(grey(mask)), PICTURE, (3, 8, 8))
    weights = square(Inpaint(grey(mask), resize_mask=True), PICTURE, (3, 8, 8)).operator.mask[0, 0]
    assert (weights[:4, 4:] == 1).all() and weights.sum() == 16
    with pytest.raises(InputError, match="True or False, got 'yes'"):
        Inpaint(grey(mask), resize_mask='yes')


def test_larger_mask_is_averaged_when_it_is_resized():
    mask = np.zeros((16, 16))
    mask[0, :2], mask[1, 0] = 255, 255  # three quarters of a pixel of the picture
    weights = square(Inpaint(grey(mask), resize_mask=True), PICTURE, (3, 8, 8)).operator.mask
    assert weights[0, 0, 0, 0] == pytest.approx(0.75, abs=0.01) and weights.sum() == weights[0, 0, 0, 0]


@pytest.mark.parametrize('mask', [np.zeros((8, 8)), np.ones((8, 8))])
def test_mask_without_white_is_refused(mask):
    with pytest.raises(InputError, match='marks nothing'):
        square(Inpaint(grey(mask)), PICTURE, (3, 8, 8))


def test_colorization_sees_the_picture():
    image, operator, *_ = square(Colorize(), PICTURE, (3, 8, 8))
    torch.testing.assert_close(image, TENSOR)
    assert operator.degrade(image).shape == image.shape


def test_small_picture_is_enlarged_pixel_by_pixel():
    image, operator, *_ = square(SuperResolve(4), PICTURE, (3, 32, 32))
    assert operator.factor == 4
    torch.testing.assert_close(image, TENSOR.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3))
    torch.testing.assert_close(operator.degrade(image), image)


@pytest.mark.parametrize('size', [(8, 8), (40, 24)])
def test_any_other_picture_is_brought_to_the_size_and_averaged(size):
    image, operator, *_ = square(SuperResolve(4), PICTURE.resize(size), (3, 8, 8))
    assert image.shape == (1, 3, 8, 8)
    assert operator.degrade(image).unique(dim=-1).shape[-1] == 2 < image.unique(dim=-1).shape[-1]


def test_no_factor_is_refused():
    with pytest.raises(InputError, match='at least 2'):
        square(SuperResolve(0), PICTURE, (3, 8, 8))


def test_uncropped_picture_lies_in_the_middle_and_its_surroundings_are_drawn():
    image, operator, *_ = square(Uncrop(0.5), PICTURE, (3, 16, 16))
    torch.testing.assert_close(image[..., 4:12, 4:12], TENSOR)
    kept = operator.keep(operator.degrade(image), torch.full_like(image, 0.5))
    assert torch.equal(kept[..., 4:12, 4:12], image[..., 4:12, 4:12]) and (kept == 0.5).sum() >= 3 * (256 - 64)


@pytest.mark.parametrize('share', [0, 1, 0.01, 0.99, -1, float('nan')])
def test_share_that_leaves_nothing_is_refused(share):
    with pytest.raises(InputError, match='share between 0 and 1'):
        square(Uncrop(share), PICTURE, (3, 16, 16))


def test_strokes_are_drawn_at_the_levels_of_the_paper():
    """Song et al. (2023, Appendix D)."""
    assert Stroke().sigmas == (5.38, 2.24)


def test_transparent_parts_are_white_to_the_model():
    image, *_ = square(Colorize(), Image.fromarray(np.dstack([PIXELS, np.zeros((8, 8, 1), np.uint8)])), (3, 8, 8))
    assert (image == 1).all()


def test_blurred_picture_is_known_by_what_the_blur_has_left():
    blur = Deblurring((1, 2, 1), 8)
    blurred = ((blur.blurred(TENSOR) + 1) * 127.5).round().clamp(0, 255).byte()[0].permute(1, 2, 0).numpy()
    image, operator, *_ = square(Deblur((1, 2, 1)), Image.fromarray(blurred), (3, 8, 8))
    assert (image - operator.degrade(TENSOR)).abs().max() < 0.1  # rounding, divided by the gain
    assert (TENSOR - operator.degrade(TENSOR)).abs().max() > 0.3


def test_every_task_is_prepared_by_a_function_of_its_own():
    assert {square.dispatch(task) for task in TASKS.values()}.isdisjoint({square.dispatch(object)})


def test_tasks_that_see_the_whole_image_are_those_that_make_tiles():
    for task in TASKS.values():
        assert task.sees_whole == (whole.dispatch(task) is not whole.dispatch(object)), task


WIDE = (3, 16, 24)  # the images of a model that are no squares


def test_uncropped_picture_keeps_the_proportions_of_the_model():
    image, operator, *_ = square(Uncrop(0.5), Image.new('RGB', (60, 32), 'white'), WIDE)
    assert image.shape == (1, *WIDE)
    assert (operator.mask[0, 0, 4:12, 6:18] == 0).all() and operator.mask.sum() == 16 * 24 - 8 * 12


def test_part_of_other_proportions_is_put_back_where_it_was():
    picture = Image.fromarray(np.random.RandomState(1).randint(0, 256, (40, 50, 3)).astype(np.uint8))
    mask = np.zeros((40, 50))
    mask[20:24, 20:28] = 255
    prepared = square(Inpaint(grey(mask)), picture, WIDE)
    assert prepared.image.shape == (1, *WIDE) and prepared.place.box == (0, 3, 50, 36)  # 33 of 50 / 24 * 16 rows
    pasted = np.asarray(prepared.place.paste(np.full((16, 24, 3), 7, np.uint8)))
    assert (pasted[mask == 255] == 7).all() and (pasted[mask == 0] == np.asarray(picture)[mask == 0]).all()


@pytest.mark.parametrize('size', [(60, 32), (32, 60), (200, 200), (24, 200)])
@pytest.mark.parametrize('task', [Colorize(), Inpaint])
def test_whole_picture_covers_a_tile_and_keeps_its_own_proportions(task, size):
    mask = np.zeros(size[::-1])
    mask[5:9, 5:9] = 255
    task = Inpaint(grey(mask)) if task is Inpaint else task
    found = whole(task, Image.new('RGB', size), WIDE, None)
    prepared = found.prepare()
    high, wide = prepared.tiles.shape
    assert prepared.tiles.size == (16, 24) and prepared.image.shape[2:] == (high, wide)
    assert high >= 16 and wide >= 24
    if isinstance(task, Colorize):
        assert wide / high == pytest.approx(size[0] / size[1], rel=0.05)


def test_side_that_is_too_small_for_a_tile_is_raised():
    found = whole(Colorize(), Image.new('RGB', (200, 200)), WIDE, 16)
    assert found.prepare().tiles.shape == (24, 24)


def test_small_picture_of_the_proportions_is_enlarged_pixel_by_pixel():
    pixels = np.random.RandomState(2).randint(0, 256, (8, 12, 3)).astype(np.uint8)
    image = square(SuperResolve(2), Image.fromarray(pixels), WIDE).image
    expected = torch.from_numpy(pixels.repeat(2, axis=0).repeat(2, axis=1)).permute(2, 0, 1)[None].float() / 127.5 - 1
    torch.testing.assert_close(image, expected)


def test_blur_is_of_the_models_proportions():
    prepared = square(Deblur((1, 2, 1)), Image.new('RGB', (60, 32), (10, 20, 30)), WIDE)
    assert prepared.image.shape == (1, *WIDE)
