import io

import numpy as np
import pytest
import torch
from PIL import Image

from mmcm.apis.editing import EditResult, edit_picture
from mmcm.utils.errors import InputError


def numbered(count, labels):
    """Return a result whose images are of one grey level each: 10 the picture, 20 what is known, 30 and so on."""
    levels = torch.arange(1, count + 3, dtype=torch.uint8).view(-1, 1, 1, 1) * 10
    picture, known, *candidates = levels.expand(-1, 1, 64, 64)
    return EditResult(picture, known, torch.stack(candidates), labels, 1.0, 39)


def test_sheet_shows_picture_known_and_candidates_in_this_order(tmp_path):
    (path,) = numbered(3, None).save(tmp_path / 'sheet.png')
    sheet = Image.open(path).convert('L')
    assert [sheet.getpixel((4 + 132 * column + 64, 4 + 64)) for column in range(5)] == [10, 20, 30, 40, 50]


def test_folder_holds_picture_known_and_candidates(tmp_path):
    paths = numbered(2, [3, 4]).save(tmp_path / 'folder')
    assert [path.name for path in paths] == [
        'picture.png',
        'known.png',
        'candidate_000_label3.png',
        'candidate_001_label4.png',
    ]
    assert [Image.open(path).convert('L').getpixel((0, 0)) for path in paths] == [10, 20, 30, 40]


def test_steps_that_were_not_kept_cannot_be_shown():
    with pytest.raises(InputError, match='keep_steps=True'):
        numbered(2, None).sheet_of_steps()


def test_thin_picture_does_not_make_a_huge_sheet(inferencer):
    height, width, _ = sheet_of(inferencer, (4000, 10)).shape  # the picture is reduced to 384 x 1
    assert width <= 4 + 4 * 388 and height < 400


def sheet_of(inferencer, size, task='inpaint', count=2):
    """Return the sheet of a picture of `size`, all of its lower half to be drawn, if the task has a mask."""
    mask = np.zeros(size[::-1], np.uint8)
    mask[size[1] // 2 :] = 255
    options = dict(mask=mask, region='square') if task == 'inpaint' else dict(sigmas=(0.5,))
    if task == 'inpaint':
        options['num_steps'] = 2
    picture = np.full(size[::-1], 100, np.uint8)
    return edit_picture(inferencer, task, picture, 3, num_candidates=count, **options).sheet()


def test_sheet_shows_the_picture_at_its_own_size_too_where_the_result_belongs_there(inferencer):
    assert sheet_of(inferencer, (8, 8)).shape == (4 + 148, 4 + 5 * 132, 3)
    assert sheet_of(inferencer, (8, 8), 'variations').shape == (4 + 148, 4 + 4 * 132, 3)
    assert sheet_of(inferencer, (1536, 768), 'variations').shape == (4 + 148, 4 + 4 * 132, 3)
    sheet = sheet_of(inferencer, (1536, 768))  # before, mask, two results, each reduced to 384 x 192, below the others
    assert sheet.shape == (4 + 148 + 4 + 192 + 16 + 4, 4 + 4 * 388, 3)
    before, mask = (sheet[160:340, 4 + 388 * index : 388 * (index + 1)] for index in range(2))
    assert (before == 100).all() and (mask[:88] == 0).all() and (mask[100:] == 255).all()
    assert sheet_of(inferencer, (1536, 768), count=5).shape[0] == 4 + 148 + 4 + 2 * (192 + 16 + 4)  # four in a row


def test_repr_is_one_line_and_a_notebook_shows_the_sheet():
    edited = numbered(2, [3, 4])
    assert repr(edited) == (
        'EditResult(2 candidates of 64 x 64 pixels, labels [3, 4], 39 network evaluations per candidate, 1.00 s)'
    )
    assert np.array_equal(Image.open(io.BytesIO(edited._repr_png_())), edited.sheet())


def test_number_of_network_calls_has_its_old_name_too():
    with pytest.warns(DeprecationWarning, match='num_calls is nfe now'):
        assert numbered(2, None).num_calls == numbered(2, None).nfe == 39
