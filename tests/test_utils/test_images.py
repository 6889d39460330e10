import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmcm.utils.errors import InputError
from mmcm.utils.files import make_folder
from mmcm.utils.images import (
    CAPTION_HEIGHT,
    GAP,
    caption,
    check_picture_path,
    grid,
    named_grid,
    to_pixels,
    write_picture,
)

COLOURS = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7], [1, 2, 3]], dtype=torch.uint8)


def images(number, height=2, width=3):
    """Return `number` images, each of its own colour: (N, 3, H, W)."""
    return COLOURS[:number, :, None, None].expand(number, 3, height, width)


def test_grey_pixels_become_rgb():
    pixels = to_pixels(torch.arange(6, dtype=torch.uint8).view(1, 2, 3))
    assert pixels.shape == (2, 3, 3)
    assert (pixels == np.arange(6).reshape(2, 3, 1)).all()


def test_grid_is_filled_row_by_row_on_white():
    sheet = grid(images(5), columns=2, min_side=1)
    assert sheet.shape == (GAP + 3 * (2 + GAP), GAP + 2 * (3 + GAP), 3)
    expected = np.full_like(sheet, 255)
    for index, colour in enumerate(COLOURS.numpy()):
        top, left = GAP + index // 2 * (2 + GAP), GAP + index % 2 * (3 + GAP)
        expected[top:top + 2, left:left + 3] = colour
    assert np.array_equal(sheet, expected)


@pytest.mark.parametrize('number, columns, expected', [(1, None, (1, 1)), (5, None, (2, 3)), (4, None, (2, 2)),
                                                       (3, 10, (1, 3)), (3, 1, (3, 1))])
def test_grid_has_no_empty_columns(number, columns, expected):
    height, width, _ = grid(images(number), columns=columns, min_side=1).shape
    assert ((height - GAP) / (2 + GAP), (width - GAP) / (3 + GAP)) == expected


def test_small_images_are_magnified_pixel_by_pixel():
    image = torch.arange(4, dtype=torch.uint8).view(1, 1, 2, 2)
    tile = grid(image, min_side=6)[GAP:-GAP, GAP:-GAP, 0]
    assert np.array_equal(tile, np.arange(4).reshape(2, 2).repeat(3, axis=0).repeat(3, axis=1))


@pytest.mark.parametrize('number, columns, side', [(1, None, 256), (2, None, 128), (9, None, 84), (16, None, 64),
                                                   (100, 10, 64), (3, 1, 84)])
def test_sheet_of_few_small_images_is_magnified(number, columns, side):
    sheet = grid(torch.zeros(number, 1, 2, 2, dtype=torch.uint8), columns)
    width = columns or round(number**0.5 + 0.49)
    assert sheet.shape[1] == GAP + width * (side + GAP)


def test_captions_stand_below_their_images():
    sheet = grid(images(2, 20, 40), columns=1, min_side=1, captions=['7', ''])
    assert sheet.shape[0] == GAP + 2 * (20 + CAPTION_HEIGHT + GAP)
    first, second = (GAP + index * (20 + CAPTION_HEIGHT + GAP) + 20 for index in range(2))
    assert sheet[first:first + CAPTION_HEIGHT].min() < 100
    assert (sheet[second:second + CAPTION_HEIGHT] == 255).all()
    assert (sheet[GAP:first, GAP:-GAP] == COLOURS[0].numpy()).all()


def test_written_picture_is_read_back(tmp_path):
    pixels = np.random.RandomState(0).randint(0, 256, (5, 7, 3)).astype(np.uint8)
    write_picture(tmp_path / 'a.png', pixels)
    assert np.array_equal(np.asarray(Image.open(tmp_path / 'a.png')), pixels)
    assert os.listdir(tmp_path) == ['a.png']


def test_failed_write_leaves_the_old_picture_and_nothing_else(tmp_path, monkeypatch):
    def run_out_of_space(path, content):
        path.touch()
        raise OSError(28, 'No space left on device')

    (tmp_path / 'a.png').write_bytes(b'old')
    monkeypatch.setattr(Path, 'write_bytes', run_out_of_space)
    with pytest.raises(InputError, match='No space left'):
        write_picture(tmp_path / 'a.png', np.zeros((2, 2, 3), np.uint8))
    assert os.listdir(tmp_path) == ['a.png'] and (tmp_path / 'a.png').read_bytes() == b'old'


@pytest.mark.parametrize('name, most', [('a.jpg', 65500), ('a.JPEG', 65500), ('a.webp', 16383)])
def test_picture_too_large_for_its_format_is_refused(tmp_path, name, most):
    with pytest.raises(InputError, match=f'no room for {most + 1} x 2 pixels: name a .png file'):
        write_picture(tmp_path / name, np.zeros((2, most + 1, 3), np.uint8))
    assert not list(tmp_path.iterdir())
    write_picture(tmp_path / name, np.zeros((2, most, 3), np.uint8))
    with Image.open(tmp_path / name) as picture:
        assert picture.size == (most, 2)


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.bmp', '.webp'])
def test_nothing_is_said_of_a_picture_that_is_written(tmp_path, capfd, suffix):
    write_picture(tmp_path / f'a{suffix}', np.zeros((2, 3, 3), np.uint8))
    assert capfd.readouterr() == ('', '')


@pytest.mark.parametrize('name', ['missing/a.png', 'file/a.png', 'a' * 300 + '.png'])
def test_picture_that_cannot_be_written_is_refused(tmp_path, name):
    (tmp_path / 'file').touch()
    with pytest.raises(InputError, match='cannot be written'):
        write_picture(tmp_path / name, np.zeros((2, 2, 3), np.uint8))


@pytest.mark.parametrize('name, match', [
    ('a.xyz', 'no suffix of a picture'), ('a', 'no suffix of a picture'), ('folder.png', 'is a folder'),
    ('file/a.png', 'cannot be made a folder'),
])
def test_unusable_path_of_a_picture_is_refused(tmp_path, name, match):
    (tmp_path / 'folder.png').mkdir()
    (tmp_path / 'file').touch()
    with pytest.raises(InputError, match=match):
        check_picture_path(tmp_path / name)


def test_usable_path_of_a_picture_gets_its_folder(tmp_path):
    check_picture_path(tmp_path / 'new' / 'deep' / 'a.JPG')
    assert os.listdir(tmp_path / 'new' / 'deep') == []


def test_folder_without_permission_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'access', lambda path, mode: False)  # root, who may run this, has every permission
    with pytest.raises(InputError, match='cannot be written to'):
        make_folder(tmp_path)


def test_named_grid_has_the_sheet_and_names_beside_it():
    rows = [images(2, 20, 30), images(4, 20, 30)[2:], images(5, 20, 30)[3:]]
    sheet = named_grid(rows, ['one', 'two', ''], ['a', ''], min_side=1)
    plain = grid([image for row in rows for image in row], 2, min_side=1)
    height, width, _ = plain.shape
    assert np.array_equal(sheet[-height:, -width:], plain)
    head, side = sheet[:-height], sheet[-height:, :-width]
    assert len(head) == CAPTION_HEIGHT
    above, beside = (np.flatnonzero((part < 255).any(axis)) for part, axis in ((head, (0, 2)), (side, (1, 2))))
    left = sheet.shape[1] - width
    assert left + GAP < above.min() and above.max() < left + GAP + 30  # above the first column alone
    assert beside.min() > GAP and beside.max() < 2 * (20 + GAP)  # beside the first two rows
    assert len(np.flatnonzero((side < 255).any((0, 2)))) < side.shape[1] - GAP  # nothing is cut off


@pytest.mark.parametrize('name', ['caf\udce9', '\u65e5\u672c', ''])
def test_caption_takes_any_name(name):
    assert caption(64, name).shape == (16, 64, 3)


def test_byte_of_a_name_is_a_question_mark():
    assert np.array_equal(caption(64, 'caf\udce9'), caption(64, 'caf?'))
