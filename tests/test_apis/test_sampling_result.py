import io
import re

import cv2
import numpy as np
import pytest
from PIL import Image

from mmcm.utils.errors import InputError


def test_sheet_and_single_images(tmp_path, inferencer):
    drawing = inferencer(5, 'balanced')
    assert drawing.save(tmp_path / 'sheet.png', columns=3) == [tmp_path / 'sheet.png']
    height, width, _ = cv2.imread(str(tmp_path / 'sheet.png')).shape
    assert (height, width) == (4 + 2 * (80 + 16 + 4), 4 + 3 * (80 + 4))  # 8 pixels, ten times: 256 in a row
    names = [path.name for path in drawing.save(tmp_path / 'folder')]
    assert names == [f'{index:06d}_label{index}.png' for index in range(5)]
    pixels = cv2.imread(str(tmp_path / 'folder' / names[3]), cv2.IMREAD_UNCHANGED)
    assert (pixels[..., 0] == drawing.pixels[3, 0].numpy()).all()


def test_home_is_expanded(tmp_path, monkeypatch, inferencer):
    monkeypatch.setenv('HOME', str(tmp_path))
    assert inferencer(1).save('~/x.png') == [tmp_path / 'x.png']
    with pytest.raises(InputError, match='columns has to be an integer of at least 1'):
        inferencer(1).save('~/x.png', columns=0)


def test_repr_is_one_line(inferencer):
    assert re.fullmatch(
        r'SamplingResult\(2 images of 8 x 8 pixels, labels \[3, 1\], seeds \[0, 1\], 2 network evaluations per image, '
        r'[\d.]+ s\)',
        repr(inferencer(labels=[3, 1])),
    )
    many = repr(inferencer(100, 'balanced'))
    assert len(many) < 200
    assert 'labels [0, 1, 2, 3, 4, 5, 6, 7, ..., 9], seeds [0, 1, 2, 3, 4, 5, 6, 7, ..., 99]' in many


def test_notebook_shows_the_sheet(inferencer):
    drawing = inferencer(3, 'balanced')
    assert np.array_equal(Image.open(io.BytesIO(drawing._repr_png_())), drawing.sheet())


def test_sheet_of_one_small_image_can_be_seen(inferencer):
    assert inferencer(labels=[3]).sheet().shape == (4 + 256 + 16 + 4, 4 + 256 + 4, 3)


def test_former_names_still_answer(inferencer):
    import mmcm.apis
    from mmcm.apis import sampling_result

    for module in (mmcm.apis, sampling_result):
        with pytest.warns(DeprecationWarning, match='Drawing is SamplingResult now'):
            assert module.Drawing is sampling_result.SamplingResult
        with pytest.raises(AttributeError, match='no attribute'):
            module.Painting  # noqa: B018
    result = inferencer(1)
    with pytest.warns(DeprecationWarning, match='num_calls is nfe now'):
        assert result.num_calls == result.nfe == 2
