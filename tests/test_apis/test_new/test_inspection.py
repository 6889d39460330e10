import cv2
import numpy as np
import pytest

from mmcm.apis.new import inspection
from mmcm.apis.new.inspection import inspect_images, named, rows_of, sample_of
from mmcm.apis.new.source import Source
from mmcm.utils.errors import InputError
from support.image_folders import png_header
from support.own_pictures import write_deep_grey, write_flawed, write_icons, write_photo_crops


def found(folder, **kwargs):
    return inspect_images(Source(str(folder), **kwargs).found(), 'white')


def test_icons_have_classes_and_transparency(tmp_path):
    findings = found(write_icons(tmp_path, 6, side=24))
    assert (findings.num_images, findings.num_transparent, findings.channels) == (6, 6, 3)
    assert findings.classes == ('circle', 'square', 'star') and findings.fewest == 2
    assert dict(rows_of(findings))['size'] == '24 x 24 pixels (width x height)'


def test_photographs_have_a_median_side_and_no_classes(tmp_path):
    findings = found(write_photo_crops(tmp_path, 5, (20, 30)))
    assert findings.shorter_side == 20 and set(findings.widths) == {30} and not findings.classes
    assert 'classes' not in dict(rows_of(findings))


def test_grey_of_sixteen_bits_is_one_channel(tmp_path):
    findings = found(write_deep_grey(tmp_path, 4))
    assert findings.channels == 1 and findings.num_deep == 4
    assert '4 with 16 bits' in dict(rows_of(findings))['channels']


def test_one_coloured_image_makes_three_channels(tmp_path):
    write_deep_grey(tmp_path, 3)
    cv2.imwrite(str(tmp_path / 'red.png'), np.full((16, 16, 3), (0, 0, 255), np.uint8))
    assert found(tmp_path).channels == 3


def test_duplicates_and_broken_files_are_named(tmp_path):
    folder, (first, second, broken) = write_flawed(tmp_path, 4)
    findings = found(folder)
    assert {name for name, _ in findings.duplicates} == {str(first), str(second)}
    assert len(findings.broken) == 1 and str(broken) in findings.broken[0]
    lines = list(named(findings))
    assert len(lines) == 3 and lines[-1].startswith('broken: ')


def test_image_that_declares_too_many_pixels_is_broken_and_not_decoded(tmp_path):
    write_photo_crops(tmp_path, 2, (8, 8))
    (tmp_path / 'bomb.png').write_bytes(png_header(60000, 60000))
    (message,) = found(tmp_path).broken
    assert '60000 x 60000' in message


def test_folder_of_broken_images_is_refused(tmp_path):
    (tmp_path / 'x.png').write_bytes(b'no image')
    with pytest.raises(InputError, match='none of 1 images can be read'):
        found(tmp_path)


def test_of_many_images_a_sample_is_read(tmp_path, monkeypatch):
    write_photo_crops(tmp_path, 12, (8, 8))
    monkeypatch.setattr(inspection, 'MOST_IMAGES', 5)
    findings = found(tmp_path)
    assert findings.num_read == 5 and not findings.is_complete
    assert dict(rows_of(findings))['images'] == '12, of which 5 were looked at'
    assert len(set(sample_of(12))) == 5


def test_reading_ends_at_the_limit_of_pixels(tmp_path, monkeypatch):
    write_photo_crops(tmp_path, 6, (8, 8))
    monkeypatch.setattr(inspection, 'MOST_PIXELS', 100)
    assert found(tmp_path).num_read == 2  # 64 pixels are below the limit, 128 above


def test_more_names_than_fit_are_counted(tmp_path, monkeypatch):
    folder, _ = write_flawed(tmp_path, 2)
    monkeypatch.setattr(inspection, 'MOST_NAMED', 1)
    assert 'duplicate: ... and 1 more' in list(named(found(folder)))
