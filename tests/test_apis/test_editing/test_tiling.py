import numpy as np
import pytest

from mmcm.apis.editing.tiling import count_tiles, covering_tiles, tiles_around


def covered(tiles):
    count = np.zeros(tiles.shape, int)
    for top, left in tiles.corners:
        assert 0 <= top <= tiles.shape[0] - tiles.size and 0 <= left <= tiles.shape[1] - tiles.size
        count[top : top + tiles.size, left : left + tiles.size] += 1
    return count


@pytest.mark.parametrize('height, width', [(8, 8), (8, 9), (13, 8), (64, 43), (100, 17)])
def test_tiles_cover_an_image_and_overlap_by_half(height, width):
    tiles = covering_tiles(height, width, 8)
    assert covered(tiles).min() >= 1 and count_tiles(height, width, 8) == len(tiles)
    for axis, length in ((0, height), (1, width)):
        places = sorted({corner[axis] for corner in tiles.corners})
        assert places[0] == 0 and places[-1] == length - 8 and all(np.diff(places) <= 4)


def test_small_hole_lies_in_the_middle_of_its_tile():
    mask = np.zeros((50, 60), np.uint8)
    mask[20:24, 30:34] = 255
    assert tiles_around(mask, 16).corners == ((14, 24),)
    mask = np.zeros((50, 60), np.uint8)
    mask[0, 59] = 1
    assert tiles_around(mask, 16).corners == ((0, 44),)  # as far as the edge of the image


def test_tiles_follow_a_scratch_and_leave_the_rest_out():
    mask = np.zeros((80, 100), np.uint8)
    for step in range(70):
        mask[step + 5, step + 10] = 200
    count = covered(tiles_around(mask, 16))
    assert count[mask > 0].min() >= 1 and count[60:, :30].max() == 0 == count[:20, 60:].max()


def test_holes_that_lie_apart_have_tiles_of_their_own():
    mask = np.zeros((80, 100), np.uint8)
    mask[10:13, 10:13] = mask[60:63, 80:83] = 255
    assert len(tiles_around(mask, 16)) == 2
    mask[14:16, 10:13] = 255
    assert len(tiles_around(mask, 16)) == 2  # one tile shows both


def test_tiles_of_other_proportions_lie_around_a_mask():
    mask = np.zeros((40, 60), np.uint8)
    mask[20:22, 30:34] = 255
    assert tiles_around(mask, (16, 24)).corners == ((13, 20),)  # 2 x 4 pixels in the middle of 16 x 24
    assert len(covering_tiles(16, 60, (16, 24))) == count_tiles(16, 60, (16, 24)) == 4
