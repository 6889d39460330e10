import cv2
import pytest

from mmcm.utils.errors import InputError


def test_sheet_and_single_images(tmp_path, inferencer):
    drawing = inferencer(5, 'balanced')
    assert drawing.save(tmp_path / 'sheet.png', columns=3) == [tmp_path / 'sheet.png']
    height, width, _ = cv2.imread(str(tmp_path / 'sheet.png')).shape
    assert (height, width) == (4 + 2 * (64 + 16 + 4), 4 + 3 * (64 + 4))
    names = [path.name for path in drawing.save(tmp_path / 'folder')]
    assert names == [f'{index:06d}_label{index}.png' for index in range(5)]
    pixels = cv2.imread(str(tmp_path / 'folder' / names[3]), cv2.IMREAD_UNCHANGED)
    assert (pixels[..., 0] == drawing.pixels[3, 0].numpy()).all()


def test_home_is_expanded(tmp_path, monkeypatch, inferencer):
    monkeypatch.setenv('HOME', str(tmp_path))
    assert inferencer(1).save('~/x.png') == [tmp_path / 'x.png']
    with pytest.raises(InputError, match='columns has to be an integer of at least 1'):
        inferencer(1).save('~/x.png', columns=0)
