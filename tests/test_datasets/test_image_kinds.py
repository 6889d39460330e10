"""Files of every kind of pixels mean the same colours in a folder, a zip, a pack and as images to edit."""

import struct
import zlib
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from mmcm.apis.data.packing import pack
from mmcm.apis.data.resolve_dataset import find_dataset, in_channels, pipeline_for
from mmcm.apis.editing.images import open_image
from mmcm.datasets import ImageFolder, ImagePack
from mmcm.utils.errors import InputError
from support.tiff_files import tiff

HEIGHT, WIDTH = 4, 6
ORIENTATION, TURNED = 0x0112, 6  # tag of EXIF, and its value for a camera held upright


def png(pixels, colour):
    """Return a PNG of 16 bits, which Pillow writes of grey images alone; `colour` is 0, 2, 4 or 6."""

    def chunk(kind, content):
        return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))

    height, width = pixels.shape[:2]
    rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in pixels)
    header = struct.pack('>IIBBBBB', width, height, 16, colour, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')


def flat(mode, colour, **info):
    image = Image.new(mode, (WIDTH, HEIGHT), colour)
    image.info.update(info)
    return image


def palette():
    """Return an image of a palette whose second colour, in the left half, is transparent."""
    image = Image.new('P', (WIDTH, HEIGHT))
    image.putpalette([10, 200, 30, 90, 90, 90])
    image.putdata([1 if column < WIDTH // 2 else 0 for _ in range(HEIGHT) for column in range(WIDTH)])
    return image


def saved(image, suffix, **options):
    def write(path):
        image.save(path, **options)

    return suffix, write


def raw(content, suffix):
    return suffix, lambda path: path.write_bytes(content)


def constant(value, *channels):
    return np.full((HEIGHT, WIDTH, *channels), value, np.uint16)


# File, colour of its left half and of its right half on white, and tolerance.
KINDS = {
    'grey': (saved(flat('L', 77), '.png'), (77, 77, 77), (77, 77, 77), 0),
    'colours': (saved(flat('RGB', (10, 200, 30)), '.png'), (10, 200, 30), (10, 200, 30), 0),
    'grey of 16 bits': (raw(png(constant(77 * 257), 0), '.png'), (77, 77, 77), (77, 77, 77), 0),
    'grey TIFF of 16 bits': (raw(tiff(constant(77 * 257)), '.tif'), (77, 77, 77), (77, 77, 77), 0),
    'colours of 16 bits': (
        raw(png(constant(0, 3) + np.array([10, 200, 30], np.uint16) * 257, 2), '.png'),
        (10, 200, 30),
        (10, 200, 30),
        0,
    ),
    'grey and alpha': (saved(flat('LA', (0, 51)), '.png'), (204, 204, 204), (204, 204, 204), 1),
    'colours and alpha': (saved(flat('RGBA', (255, 0, 0, 51)), '.png'), (255, 204, 204), (255, 204, 204), 1),
    'palette with a transparent colour': (saved(palette(), '.png', transparency=1), (255, 255, 255), (10, 200, 30), 0),
    'palette of a GIF with a transparent colour': (
        saved(palette(), '.gif', transparency=1),
        (255, 255, 255),
        (10, 200, 30),
        0,
    ),
    'CMYK': (saved(flat('CMYK', (255, 55, 0, 0)), '.jpg', quality=100), (0, 200, 255), (0, 200, 255), 2),
    'one bit': (saved(flat('1', 1), '.png'), (255, 255, 255), (255, 255, 255), 0),
}
REFUSED = {
    'floating point numbers': (tiff(np.full((HEIGHT, WIDTH), 0.5, np.float32)), '.tif', 'floating point numbers'),
    'integers of 32 bits': (tiff(np.full((HEIGHT, WIDTH), 70000, np.int32)), '.tif', 'beyond 16 bits'),
    'few of 16 bits': (png(constant(200), 0), '.png', 'all of it would be black'),
}


def expected(left, right):
    pixels = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:, : WIDTH // 2], pixels[:, WIDTH // 2 :] = left, right
    return pixels


@pytest.mark.parametrize('kind', KINDS)
def test_all_ways_to_read_a_file_agree_with_the_page(kind, tmp_path):
    (suffix, write), left, right, tolerance = KINDS[kind]
    folder = tmp_path / 'images'
    folder.mkdir()
    write(folder / f'x{suffix}')
    with ZipFile(tmp_path / 'images.zip', 'w') as file:
        file.write(folder / f'x{suffix}', f'x{suffix}')
    pipeline = pipeline_for(None)
    in_folder = ImageFolder(folder, pipeline, labelled=False)
    pack(in_folder, tmp_path / 'images.npz')
    in_zip = ImageFolder(tmp_path / 'images.zip', pipeline, labelled=False)
    images = [data[0]['inputs'] for data in (in_folder, in_zip, ImagePack(tmp_path / 'images.npz', labelled=False))]
    read = [image.permute(1, 2, 0).numpy() for image in images] + [np.asarray(open_image(folder / f'x{suffix}'))]
    for pixels in read:
        assert np.abs(pixels.astype(int) - expected(left, right)).max() <= tolerance
    assert np.array_equal(read[0], read[1]) and np.array_equal(read[0], read[2])


@pytest.mark.parametrize('kind', REFUSED)
def test_values_without_a_white_are_refused_everywhere(kind, tmp_path):
    content, suffix, reason = REFUSED[kind]
    (tmp_path / f'x{suffix}').write_bytes(content)
    data = ImageFolder(tmp_path, pipeline_for(None), labelled=False)
    for read in (lambda: data[0], lambda: open_image(tmp_path / f'x{suffix}')):
        with pytest.raises(InputError, match=f'x{suffix} is not read.*{reason}.*save it in 8 bits'):
            read()


def test_only_editing_turns_photographs_as_their_camera_was_held(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED
    flat('RGB', (10, 200, 30)).save(tmp_path / 'x.jpg', exif=exif)
    assert ImageFolder(tmp_path, pipeline_for(None), labelled=False)[0]['inputs'].shape == (3, HEIGHT, WIDTH)
    assert open_image(tmp_path / 'x.jpg').size == (HEIGHT, WIDTH)


@pytest.mark.parametrize('background, level', [('black', 0), ('#0000ff', 29), ('none', 76)])
def test_background_and_channels_are_chosen_for_a_pack(background, level, tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    flat('RGBA', (255, 0, 0, 0)).save(folder / 'x.png')
    config = dict(type='ImageFolder', data_root=str(folder), pipeline=pipeline_for(None), labelled=False)
    data = find_dataset({**in_channels(config, 1), 'background': background})
    pack(data, tmp_path / 'grey.npz')
    pixels = np.load(tmp_path / 'grey.npz')['arr_0']
    assert pixels.shape == (1, HEIGHT, WIDTH, 1) and (pixels == level).all()


def test_channels_of_arrays_are_chosen(tmp_path):
    np.savez(tmp_path / 'x.npz', np.full((2, 4, 6, 3), (255, 0, 0), np.uint8))
    grey = find_dataset(in_channels(dict(type='ImagePack', data_file=str(tmp_path / 'x.npz'), labelled=False), 1))
    assert grey[0]['inputs'].shape == (1, 4, 6) and (grey[0]['inputs'] == 76).all()
    with pytest.raises(InputError, match='PhotoPatches has no pipeline'):
        in_channels(dict(type='PhotoPatches'), 1)
