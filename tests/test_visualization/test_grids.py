import numpy as np
import pytest
import torch

from mmcm.visualization.grids import CAPTION_HEIGHT, GAP, caption, grid, named_grid

COLOURS = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7], [1, 2, 3]], dtype=torch.uint8)


def images(number, height=2, width=3):
    """Return `number` images, each of its own colour: (N, 3, H, W)."""
    return COLOURS[:number, :, None, None].expand(number, 3, height, width)


def test_grid_is_filled_row_by_row_on_white():
    sheet = grid(images(5), columns=2, min_side=1)
    assert sheet.shape == (GAP + 3 * (2 + GAP), GAP + 2 * (3 + GAP), 3)
    expected = np.full_like(sheet, 255)
    for index, colour in enumerate(COLOURS.numpy()):
        top, left = GAP + index // 2 * (2 + GAP), GAP + index % 2 * (3 + GAP)
        expected[top : top + 2, left : left + 3] = colour
    assert np.array_equal(sheet, expected)


@pytest.mark.parametrize(
    'number, columns, expected',
    [(1, None, (1, 1)), (5, None, (2, 3)), (4, None, (2, 2)), (3, 10, (1, 3)), (3, 1, (3, 1))],
)
def test_grid_has_no_empty_columns(number, columns, expected):
    height, width, _ = grid(images(number), columns=columns, min_side=1).shape
    assert ((height - GAP) / (2 + GAP), (width - GAP) / (3 + GAP)) == expected


def test_small_images_are_magnified_pixel_by_pixel():
    image = torch.arange(4, dtype=torch.uint8).view(1, 1, 2, 2)
    tile = grid(image, min_side=6)[GAP:-GAP, GAP:-GAP, 0]
    assert np.array_equal(tile, np.arange(4).reshape(2, 2).repeat(3, axis=0).repeat(3, axis=1))


@pytest.mark.parametrize(
    'number, columns, side', [(1, None, 256), (2, None, 128), (9, None, 84), (16, None, 64), (100, 10, 64), (3, 1, 84)]
)
def test_sheet_of_few_small_images_is_magnified(number, columns, side):
    sheet = grid(torch.zeros(number, 1, 2, 2, dtype=torch.uint8), columns)
    width = columns or round(number**0.5 + 0.49)
    assert sheet.shape[1] == GAP + width * (side + GAP)


def test_captions_stand_below_their_images():
    sheet = grid(images(2, 20, 40), columns=1, min_side=1, captions=['7', ''])
    assert sheet.shape[0] == GAP + 2 * (20 + CAPTION_HEIGHT + GAP)
    first, second = (GAP + index * (20 + CAPTION_HEIGHT + GAP) + 20 for index in range(2))
    assert sheet[first : first + CAPTION_HEIGHT].min() < 100
    assert (sheet[second : second + CAPTION_HEIGHT] == 255).all()
    assert (sheet[GAP:first, GAP:-GAP] == COLOURS[0].numpy()).all()


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
