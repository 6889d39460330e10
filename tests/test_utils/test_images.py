import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmcm.utils.errors import InputError
from mmcm.utils.files import make_folder
from mmcm.utils.images import check_image_path, to_pixels, write_image


def test_grey_pixels_become_rgb():
    pixels = to_pixels(torch.arange(6, dtype=torch.uint8).view(1, 2, 3))
    assert pixels.shape == (2, 3, 3)
    assert (pixels == np.arange(6).reshape(2, 3, 1)).all()


def test_written_picture_is_read_back(tmp_path):
    pixels = np.random.RandomState(0).randint(0, 256, (5, 7, 3)).astype(np.uint8)
    write_image(tmp_path / 'a.png', pixels)
    assert np.array_equal(np.asarray(Image.open(tmp_path / 'a.png')), pixels)
    assert os.listdir(tmp_path) == ['a.png']


def test_failed_write_leaves_the_old_picture_and_nothing_else(tmp_path, monkeypatch):
    def run_out_of_space(path, content):
        path.touch()
        raise OSError(28, 'No space left on device')

    (tmp_path / 'a.png').write_bytes(b'old')
    monkeypatch.setattr(Path, 'write_bytes', run_out_of_space)
    with pytest.raises(InputError, match='No space left'):
        write_image(tmp_path / 'a.png', np.zeros((2, 2, 3), np.uint8))
    assert os.listdir(tmp_path) == ['a.png'] and (tmp_path / 'a.png').read_bytes() == b'old'


@pytest.mark.parametrize('name, most', [('a.jpg', 65500), ('a.JPEG', 65500), ('a.webp', 16383)])
def test_picture_too_large_for_its_format_is_refused(tmp_path, name, most):
    with pytest.raises(InputError, match=f'no room for {most + 1} x 2 pixels: name a .png file'):
        write_image(tmp_path / name, np.zeros((2, most + 1, 3), np.uint8))
    assert not list(tmp_path.iterdir())
    write_image(tmp_path / name, np.zeros((2, most, 3), np.uint8))
    with Image.open(tmp_path / name) as picture:
        assert picture.size == (most, 2)


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.bmp', '.webp'])
def test_nothing_is_said_of_a_picture_that_is_written(tmp_path, capfd, suffix):
    write_image(tmp_path / f'a{suffix}', np.zeros((2, 3, 3), np.uint8))
    assert capfd.readouterr() == ('', '')


@pytest.mark.parametrize('name', ['missing/a.png', 'file/a.png', 'a' * 300 + '.png'])
def test_picture_that_cannot_be_written_is_refused(tmp_path, name):
    (tmp_path / 'file').touch()
    with pytest.raises(InputError, match='cannot be written'):
        write_image(tmp_path / name, np.zeros((2, 2, 3), np.uint8))


@pytest.mark.parametrize(
    'name, match',
    [
        ('a.xyz', 'no suffix of an image'),
        ('a', 'no suffix of an image'),
        ('folder.png', 'is a folder'),
        ('file/a.png', 'cannot be made a folder'),
    ],
)
def test_unusable_path_of_a_picture_is_refused(tmp_path, name, match):
    (tmp_path / 'folder.png').mkdir()
    (tmp_path / 'file').touch()
    with pytest.raises(InputError, match=match):
        check_image_path(tmp_path / name)


def test_usable_path_of_a_picture_gets_its_folder(tmp_path):
    check_image_path(tmp_path / 'new' / 'deep' / 'a.JPG')
    assert os.listdir(tmp_path / 'new' / 'deep') == []


def test_folder_without_permission_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'access', lambda path, mode: False)  # root, who may run this, has every permission
    with pytest.raises(InputError, match='cannot be written to'):
        make_folder(tmp_path)
