import cv2
import numpy as np
import pytest
from PIL import Image

from mmcm.apis.editing.images import MAX_PIXELS, Place, as_rgb, fit_image, fit_mask, open_image, seen_part, seen_square
from mmcm.operators import Colorization, SDEdit
from mmcm.utils.errors import InputError
from support.image_folders import png_header

RGB = np.random.RandomState(0).randint(0, 256, (6, 9, 3)).astype(np.uint8)


def save(folder, image, name='a.png', **options):
    Image.fromarray(image).save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize(
    'name, options',
    [
        ('a.png', {}),
        ('a.bmp', {}),
        ('a.tif', {}),
        ('a.webp', dict(lossless=True)),
        ('png-named.jpg', dict(format='PNG')),
    ],
)
def test_pixels_are_those_of_the_file_whatever_its_format(tmp_path, name, options):
    picture = open_image(save(tmp_path, RGB, name, **options))
    assert picture.mode == 'RGB' and np.array_equal(np.asarray(picture), RGB)


def test_photograph_is_turned_as_its_camera_was_held(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the top is on the right: turn by a quarter, clockwise
    path = save(tmp_path, np.repeat(np.repeat(RGB, 8, axis=0), 8, axis=1), 'a.jpg', exif=exif, quality=100)
    picture = open_image(path).resize((6, 9), Image.Resampling.BOX)
    assert np.abs(np.asarray(picture).astype(int) - np.rot90(RGB, -1)).mean() < 10


def test_grey_becomes_rgb(tmp_path):
    assert np.array_equal(np.asarray(open_image(save(tmp_path, RGB[..., 0]))), np.repeat(RGB[..., :1], 3, axis=2))


@pytest.mark.parametrize('dtype, suffix', [(np.uint16, 'png'), (np.uint16, 'tif'), (np.int32, 'tif')])
def test_sixteen_bits_of_grey_become_eight(tmp_path, dtype, suffix):
    path = save(tmp_path, RGB[..., 0].astype(dtype) * 257, f'a.{suffix}')
    assert np.array_equal(np.asarray(open_image(path))[..., 0], RGB[..., 0])


def test_each_of_sixteen_bits_becomes_the_nearest_of_eight():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(np.asarray(as_rgb(Image.fromarray(values)))[..., 1], np.round(values * (255 / 65535)))


def test_sixteen_bits_of_colour_become_eight(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), RGB[..., ::-1].astype(np.uint16) * 257)
    assert np.array_equal(np.asarray(open_image(tmp_path / 'a.png')), RGB)


@pytest.mark.parametrize('background, level', [('white', 255), ('black', 0)])
def test_transparent_parts_show_the_background(tmp_path, background, level):
    alpha = np.full((6, 9, 1), 255, np.uint8)
    alpha[2:] = 0
    pixels = np.asarray(open_image(save(tmp_path, np.dstack([RGB, alpha])), background))
    assert np.array_equal(pixels[:2], RGB[:2]) and (pixels[2:] == level).all()


def test_transparent_colour_of_a_palette_shows_the_background(tmp_path):
    indexed = Image.fromarray(np.array([[0, 1]], np.uint8), 'P')
    indexed.putpalette([9, 9, 9, 7, 8, 9])
    indexed.save(tmp_path / 'a.png', transparency=0)
    assert np.asarray(open_image(tmp_path / 'a.png')).tolist() == [[[255, 255, 255], [7, 8, 9]]]


@pytest.mark.parametrize(
    'content, match',
    [
        (b'', 'is empty'),
        (b'text' * 100, 'no image that can be read'),
        (png_header(9, 9)[:20], 'cannot be decoded'),
        (png_header(9, 9), 'cannot be decoded'),
        (png_header(30000, 30000), 'more pixels than'),
        (png_header(9000, 9000), '9000 x 9000 pixels'),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path, content, match):
    (tmp_path / 'a.jpg').write_bytes(content)
    with pytest.raises(InputError, match=match):
        open_image(tmp_path / 'a.jpg')


@pytest.mark.parametrize('suffix', ['png', 'jpg', 'webp', 'tif', 'bmp'])
def test_truncated_picture_is_refused(tmp_path, suffix):
    path = save(tmp_path, RGB, f'a.{suffix}')
    path.write_bytes(path.read_bytes()[: -len(path.read_bytes()) // 3])
    with pytest.raises(InputError, match='cannot be|no image'):
        open_image(path)


def test_too_large_a_picture_is_not_decoded(tmp_path, monkeypatch):
    def decode(image):
        raise AssertionError('decoded')

    (tmp_path / 'a.png').write_bytes(png_header(9000, 9000))
    monkeypatch.setattr('PIL.ImageFile.ImageFile.load', decode)
    with pytest.raises(InputError, match=f'9000 x 9000 pixels, .* more than {MAX_PIXELS}'):
        open_image(tmp_path / 'a.png')


@pytest.mark.parametrize('values', [np.full((2, 2), 0.5, np.float32), np.full((2, 2), 70000, np.int32)])
def test_values_without_a_white_are_refused(tmp_path, values):
    with pytest.raises(InputError, match='values'):
        open_image(save(tmp_path, values, 'a.tif'))


@pytest.mark.parametrize('name, match', [('missing.png', 'there is no image .*missing'), ('.', 'is a folder')])
def test_missing_picture_is_named(tmp_path, name, match):
    with pytest.raises(InputError, match=match):
        open_image(tmp_path / name)


def test_picture_of_the_models_size_stays_as_it_is():
    square = Image.fromarray(RGB[:, :6])
    assert np.array_equal(fit_image(square, 3, 6), RGB[:, :6])


def test_central_square_is_what_the_model_sees():
    wide = np.zeros((16, 64, 3), np.uint8)
    wide[:, 24:40] = (10, 200, 30)
    assert (fit_image(Image.fromarray(wide), 3, 8) == (10, 200, 30)).all()


@pytest.mark.parametrize('size', [(1024, 768), (768, 1024), (640, 480), (200, 128)])
def test_picture_and_mask_are_of_the_same_square(size):
    """What is white in the middle of it is in the middle of what the model sees, and the mask covers it."""
    picture = Image.new('RGB', size)
    left, top, right, bottom = seen_square(picture)
    quarter = (right - left) // 4
    picture.paste('white', (left + quarter, top + quarter, right - quarter, bottom - quarter))
    seen, mask = fit_image(picture, 3, 32)[..., 0].astype(int), fit_mask(picture.convert('L'), 32)[..., 0]
    assert np.abs(seen - seen[:, ::-1]).max() <= 2 and np.abs(seen - seen[::-1]).max() <= 2
    assert mask.sum() == 16 * 16 * 255 and seen[mask == 0].max() < 60 and seen[mask == 255].min() > 100


def test_grey_models_see_the_brightness():
    pixels = fit_image(Image.new('RGB', (20, 20), (100, 200, 50)), 1, 8)
    assert pixels.shape == (8, 8, 1)
    assert (pixels == round(0.299 * 100 + 0.587 * 200 + 0.114 * 50)).all()


@pytest.mark.parametrize('side', [8, 20, 100, 3])
def test_mask_marks_each_pixel_that_a_marked_one_falls_into(side):
    mask = np.zeros((side, side + 10), np.uint8)
    row, column, level = side // 2, side // 3, 200
    mask[row, 5 + column] = level
    expected = np.zeros((8, 8))
    for y, x in np.ndindex(8, 8):  # pixel i covers [i, i + 1) * side / 8
        expected[y, x] = level * (
            (y * side < (row + 1) * 8)
            and ((y + 1) * side > row * 8)
            and (x * side < (column + 1) * 8)
            and ((x + 1) * side > column * 8)
        )
    assert np.array_equal(fit_mask(Image.fromarray(mask), 8)[..., 0], expected)


def test_mask_of_the_models_size_stays_as_it_is():
    mask = RGB[:, :6, 0]
    assert np.array_equal(fit_mask(Image.fromarray(mask), 6)[..., 0], mask)


@pytest.mark.parametrize('size', [(90, 61), (40, 70), (5, 4)])
def test_result_pasted_in_strips_is_the_one_pasted_at_once(monkeypatch, size):
    random = np.random.RandomState(1)
    picture = Image.fromarray(random.randint(0, 256, (*size[::-1], 4)).astype(np.uint8))
    mask = Image.fromarray(random.randint(0, 256, size[::-1]).astype(np.uint8))
    result = random.randint(0, 256, (8, 8, 3)).astype(np.uint8)
    for place in (Place(picture, mask=mask), Place(picture.convert('RGB'), Colorization())):
        whole = np.asarray(place.paste(result)).astype(int)
        monkeypatch.setattr('mmcm.apis.editing.images.STRIP_PIXELS', 150)
        strips = np.asarray(place.paste(result)).astype(int)
        monkeypatch.undo()
        assert np.array_equal(whole, strips)


def test_pasted_picture_stays_transparent_but_for_what_was_drawn():
    picture = Image.fromarray(np.full((16, 16, 4), (10, 20, 30, 40), np.uint8))
    mask = Image.fromarray(np.repeat(np.array([[0, 255]], np.uint8), 16, 0).repeat(8, 1))
    pasted = np.asarray(Place(picture, mask=mask).paste(np.full((8, 8, 3), 200, np.uint8)))
    assert (pasted[:, :8] == (10, 20, 30, 40)).all() and (pasted[:, 8:] == (200, 200, 200, 255)).all()
    coloured = np.asarray(Place(picture, Colorization()).paste(np.full((8, 8, 3), (200, 0, 0), np.uint8)))
    assert (coloured[..., 3] == 40).all() and (coloured[..., 0] > coloured[..., 2]).all()


def test_square_fades_into_the_picture_where_its_edge_is_not_one_of_the_picture():
    """Of 96 x 32 pixels, the 32 in the middle become red: within 2 pixels of their left and right edges."""
    picture = Image.new('RGB', (96, 32), (100, 100, 100))
    pixels = np.asarray(Place(picture, SDEdit()).paste(np.full((8, 8, 3), (200, 100, 100), np.uint8)))
    assert (pixels[..., 0] == pixels[:1, :, 0]).all()  # up to the upper and the lower edge
    assert (pixels[:, :32] == 100).all() and (pixels[:, 64:] == 100).all() and (pixels[:, 34:62, 0] == 200).all()
    assert pixels[0, 30:36, 0].tolist() == [100, 100, 125, 175, 200, 200]


@pytest.mark.parametrize('size', [(60, 32), (32, 60), (24, 16), (1000, 2), (2, 1000)])
def test_part_in_the_proportions_of_the_model_is_in_the_middle_and_as_large_as_possible(size):
    image = Image.new('RGB', size)
    left, top, right, bottom = seen_part(image, (16, 24))
    wide, high = right - left, bottom - top
    assert (wide, high) == size or wide == size[0] or high == size[1]
    assert abs(wide - high * 24 / 16) <= 1 and abs(left - (size[0] - right)) <= 1 and abs(top - (size[1] - bottom)) <= 1
    assert fit_image(image, 3, (16, 24)).shape == (16, 24, 3)
    assert fit_mask(image.convert('L'), (16, 24)).shape == (16, 24, 1)
