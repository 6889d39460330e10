import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip('gradio')

import gradio as gr
from gradio.components.image_editor import EditorData
from gradio.data_classes import FileData

from mmcm.web import uploads
from mmcm.web.limits import Limits
from mmcm.web.uploads import PaintedPicture, check_uploaded
from support.image_folders import png_header

ROTATED = 6  # EXIF orientation: to be shown turned to the right
ORIENTATION = 274


@pytest.fixture
def read(tmp_path):
    """How to read what a request holds: the names of a background and of layers."""

    def read(background=None, *layers, **limits):
        files = [None if name is None else FileData(path=str(tmp_path / name)) for name in (background, *layers)]
        picture = PaintedPicture(Limits(**limits))
        return picture.preprocess(EditorData(background=files[0], layers=files[1:]))

    return read


def save(folder, name, pixels, **options):
    Image.fromarray(np.asarray(pixels, np.uint16 if options.pop('wide', False) else np.uint8)).save(
        folder / name, **options
    )


def paint(folder, name, size, box, colour=(9, 8, 7, 255)):
    """Write a layer: nothing but a box of one colour."""
    layer = Image.new('RGBA', size)
    layer.paste(colour, box)
    layer.save(folder / name)


@pytest.mark.parametrize(
    'content, message',
    [
        (png_header(30_000, 30_000), 'more than 33554432'),
        (png_header(6_000, 6_000), 'the upload has 6000 x 6000'),
        (png_header(10, 10), 'damaged'),
        (b'dear all, this is a letter', 'no image'),
        (b'', 'the upload is empty'),
        (b'\xff\xd8' + bytes(3_000_000), '3000002 bytes, more than 2097152'),
    ],
)
def test_bad_upload_is_told_in_one_line(read, tmp_path, content, message):
    (tmp_path / 'photo.jpg').write_bytes(content)
    with pytest.raises(gr.Error) as error:
        read('photo.jpg', upload_bytes=2 << 20)
    assert message in error.value.message
    assert '\n' not in error.value.message and str(tmp_path) not in error.value.message


def test_layer_is_looked_at_like_the_picture(read, tmp_path):
    save(tmp_path, 'picture.png', np.zeros((10, 10)))
    (tmp_path / 'layer.png').write_bytes(png_header(30_000, 30_000))
    with pytest.raises(gr.Error, match='the paint has'):
        read('picture.png', 'layer.png')


def test_limit_of_pixels_is_the_last_that_passes(read, tmp_path):
    save(tmp_path, 'picture.png', np.zeros((10, 11)))
    assert read('picture.png', upload_pixels=110).background.size == (11, 10)
    with pytest.raises(gr.Error, match='more than 109'):
        read('picture.png', upload_pixels=109)


def test_paint_marks_the_photograph_as_it_is_shown(read, tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = ROTATED
    pixels = np.zeros((768, 1024, 3))
    pixels[:, :512] = 200  # the left half; turned to the right, that is the upper one
    save(tmp_path, 'photo.jpg', pixels, exif=exif)
    paint(tmp_path, 'layer.png', (768, 1024), (100, 600, 300, 900))
    painted = read('photo.jpg', 'layer.png')
    background, mask = np.asarray(painted.background), np.asarray(painted.mask)
    assert background.shape == (1024, 768, 3) and mask.shape == (1024, 768)
    assert background[:500].min() > 190 and background[524:].max() < 10
    assert (mask[600:900, 100:300] == 255).all() and mask.sum() == 255 * 300 * 200


@pytest.mark.parametrize(
    'pixels, options, expected',
    [
        ([[0, 128, 255]], {}, [(0, 0, 0), (128, 128, 128), (255, 255, 255)]),
        ([[0, 257, 65535]], dict(wide=True), [(0, 0, 0), (1, 1, 1), (255, 255, 255)]),
        ([[(9, 8, 7, 255), (9, 8, 7, 0)]], {}, [(9, 8, 7), (255, 255, 255)]),
    ],
)
def test_every_kind_of_picture_becomes_rgb(read, tmp_path, pixels, options, expected):
    save(tmp_path, 'picture.png', pixels, **options)
    assert [tuple(pixel) for pixel in np.asarray(read('picture.png').background)[0].tolist()] == expected


def test_faint_paint_marks_as_much_as_thick_paint(read, tmp_path):
    save(tmp_path, 'picture.png', np.full((4, 4), 100))
    paint(tmp_path, 'layer.png', (4, 4), (0, 0, 2, 4), (255, 0, 0, 1))
    assert np.asarray(read('picture.png', 'layer.png').mask).tolist() == [[255, 255, 0, 0]] * 4


def test_sketch_is_the_paint_on_the_picture_or_on_white(read, tmp_path):
    save(tmp_path, 'picture.png', np.full((4, 4), 100))
    paint(tmp_path, 'layer.png', (4, 4), (0, 0, 2, 4))
    on_picture, on_white = read('picture.png', 'layer.png'), read(None, 'layer.png')
    assert np.asarray(on_picture.sketch)[0].tolist() == [[9, 8, 7]] * 2 + [[100, 100, 100]] * 2
    assert np.asarray(on_white.sketch)[0].tolist() == [[9, 8, 7]] * 2 + [[255, 255, 255]] * 2
    assert np.asarray(on_picture.background)[0].tolist() == [[100, 100, 100]] * 4
    assert on_white.background is None


def test_layer_without_paint_is_none(read, tmp_path):
    paint(tmp_path, 'layer.png', (4, 4), (0, 0, 0, 0))
    painted = read(None, 'layer.png')
    assert painted.mask is None and painted.sketch is None


def test_paint_of_another_size_and_many_layers_are_refused(read, tmp_path):
    save(tmp_path, 'picture.png', np.zeros((4, 4)))
    paint(tmp_path, 'layer.png', (4, 5), (0, 0, 2, 2))
    with pytest.raises(gr.Error, match='4 x 5 pixels and the image of 4 x 4'):
        read('picture.png', 'layer.png')
    with pytest.raises(gr.Error, match='one layer'):
        read('picture.png', 'layer.png', 'layer.png')


def test_component_is_an_image_editor_to_the_page_and_takes_no_blobs():
    picture = PaintedPicture(Limits(), layers=False, elem_id='here')
    config = picture.get_config()
    assert picture.get_block_name() == config['name'] == 'imageeditor'
    assert config['layers']['disabled'] and config['elem_id'] == 'here' and 'limits' not in config
    assert picture.server_fns == []
    assert type(picture)(**picture.constructor_args).limits is picture.limits


def test_no_file_is_written_beside_the_module():
    assert not Path(uploads.__file__).with_suffix('.pyi').exists()


@pytest.mark.parametrize('path', ['/etc/hostname', 'http://127.0.0.1/', '../secret.png', '{folder}-other/a.png'])
def test_only_what_lies_among_the_uploads_passes(monkeypatch, tmp_path, path):
    monkeypatch.setenv('GRADIO_TEMP_DIR', str(tmp_path))
    file = dict(path=str(tmp_path / 'abc' / 'a.png'))
    assert check_uploaded(file) is file
    with pytest.raises(gr.Error, match='not uploaded'):
        check_uploaded(dict(path=path.format(folder=tmp_path)))


def request_for(path, task='"stroke"'):
    """Return the data of an event that edits a file on the server."""
    file = json.dumps(dict(path=str(path), meta=dict(_type='gradio.FileData')))
    picture = f'{{"background": {file}, "layers": [], "composite": null}}'
    return f'[{task}, "digits", "3", {picture}, 1, 0, 0, "", 2, 0.5, "1 2 1", 0.3]'


def test_server_reads_what_was_uploaded_and_no_other_file(web, tmp_path):
    save(tmp_path, 'secret.png', np.full((8, 8), 100))
    _, path = web.upload((tmp_path / 'secret.png').read_bytes(), 'picture.png')
    status, message = web.call('edit', request_for(path))
    assert (status, message['success']) == (200, True)
    others = [
        tmp_path / 'secret.png',
        Path(path, '../../../../' + os.path.relpath(tmp_path / 'secret.png', '/')),
        *web.tmp.rglob(Path(path).name),
    ]  # also its real place
    for other in others:
        status, message = web.call('edit', request_for(other))
        assert status == 403 and 'not uploaded' in message['detail']
    status, message = web.call('edit', request_for(f'files/{64 * "0"}/picture.png'))
    assert (status, message['success']) == (200, False) and message['output']['error']


def test_file_in_place_of_any_other_value_is_not_read(web, tmp_path):
    save(tmp_path, 'secret.png', np.full((8, 8), 100))
    file = json.dumps(dict(path=str(tmp_path / 'secret.png'), meta=dict(_type='gradio.FileData')))
    before = {path.name for path in web.tmp.rglob('*')}
    status, message = web.call('edit', request_for('files/a/b.png', task=file))
    assert status == 403 and 'not uploaded' in message['detail']
    assert 'secret.png' not in {path.name for path in web.tmp.rglob('*')} - before


def test_server_tells_of_bad_uploads(web):
    for content, name, words in (
        (png_header(30_000, 30_000), 'huge.png', 'more than 33554432'),
        (b'dear all', 'letter.jpg', 'no image'),
        (b'', 'none.png', 'is empty'),
    ):
        status, path = web.upload(content, name)
        assert status == 200
        _, message = web.call('edit', request_for(path))
        assert not message['success'] and words in message['output']['error']


def test_server_takes_no_file_of_too_many_bytes(web):
    status, answer = web.upload(bytes((2 << 20) + 1), 'large.png')
    assert status == 413 and 'size' in answer


def test_upload_that_comes_again_counts_once(start_server, tmp_path):
    """The page sends its canvas again and again while it is looked at."""
    server = start_server(tmp_path, limits=dict(visitor_bytes=100_000))
    assert [server.upload(bytes(40_000))[0] for _ in range(10)] == [200] * 10
    assert [server.upload(bytes([index]) + bytes(40_000))[0] for index in (1, 2, 3)] == [200, 429, 429]
    assert server.upload(bytes(10_000))[0] == 200
