from argparse import ArgumentTypeError

import pytest

from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import height_and_width, json_size, plain_size, size_argument


@pytest.mark.parametrize(
    'size, sides, plain',
    [(8, (8, 8), 8), ((8, 8), (8, 8), 8), ([8, 12], (8, 12), (8, 12)), ((12, 8), (12, 8), (12, 8))],
)
def test_size_is_the_side_of_a_square_or_a_pair(size, sides, plain):
    assert height_and_width(size) == sides
    assert plain_size(size) == plain
    assert json_size(size) == (plain if isinstance(plain, int) else list(plain))


@pytest.mark.parametrize(
    'size, match',
    [
        (0, 'image_size has to be an integer of at least 1'),
        (2.5, 'image_size has to be an integer'),
        ('8', 'image_size has to be an integer'),
        (None, 'image_size has to be an integer'),
        ((8,), r'a pair \(height, width\), got \(8,\)'),
        ((8, 8, 3), r'a pair \(height, width\)'),
        ((8, 0), 'the width of image_size has to be an integer of at least 1, got 0'),
        ((True, 8), 'the height of image_size has to be an integer'),
    ],
)
def test_other_sizes_are_refused(size, match):
    with pytest.raises(InputError, match=match):
        height_and_width(size, 'image_size')


def test_sides_are_limited():
    assert plain_size((4, 16), most=16) == (4, 16)
    with pytest.raises(InputError, match='the width of size has to be an integer from 1 to 16, got 17'):
        plain_size((4, 17), most=16)


@pytest.mark.parametrize(
    'text, size', [('64', 64), ('64,96', (64, 96)), ('64x96', (64, 96)), ('(64, 96)', (64, 96)), ('64,64', 64)]
)
def test_option_of_a_command_is_parsed(text, size):
    assert size_argument(text) == size


@pytest.mark.parametrize('text', ['', 'x', '64x', '64,', '1,2,3', '64.5'])
def test_other_options_are_refused(text):
    with pytest.raises(ArgumentTypeError, match='N, for squares, or HEIGHT,WIDTH'):
        size_argument(text)
