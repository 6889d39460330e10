import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from mmcm.datasets.transforms import LoadImage
from mmcm.datasets.transforms.load_image import MAX_PIXELS, read_header
from mmcm.utils.errors import InputError


def photograph(height=53, width=75):
    random = np.random.RandomState(height)
    coarse = random.randint(0, 256, (4, 5, 3)).astype(np.uint8)
    coarse = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return Image.fromarray(np.clip(coarse + random.randint(0, 20, (height, width, 3)), 0, 255).astype(np.uint8))


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def load(content, source='somewhere/a.jpg'):
    """Return RGB."""
    return LoadImage().transform(dict(img_path=source, img_bytes=content))['img'][..., ::-1]


def reference(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert('RGB'))


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    return exif


def two_of(image):
    return dict(save_all=True, append_images=[Image.new('RGB', image.size)])


PHOTO = photograph()
WITH_ALPHA = Image.merge('RGBA', (*PHOTO.split(), PHOTO.split()[0]))
SIXTEEN = np.random.RandomState(0).randint(0, 2**16, (9, 8, 3)).astype(np.uint16)
QUICK = {  # through OpenCV
    'jpeg 4:2:0': encoded(PHOTO, 'JPEG', quality=90),
    'jpeg 4:2:2': encoded(PHOTO, 'JPEG', quality=50, subsampling='4:2:2'),
    'jpeg 4:4:4': encoded(PHOTO, 'JPEG', quality=100, subsampling='4:4:4'),
    'jpeg progressive': encoded(PHOTO, 'JPEG', progressive=True),
    'jpeg grey': encoded(PHOTO.convert('L'), 'JPEG'),
    'jpeg turned': encoded(PHOTO, 'JPEG', exif=turned()),
    'png': encoded(PHOTO, 'PNG'),
    'png grey': encoded(PHOTO.convert('L'), 'PNG'),
    'png with a transparent colour': encoded(PHOTO, 'PNG', transparency=(1, 2, 3)),
    'webp': encoded(PHOTO, 'WEBP'),
    'webp lossless': encoded(PHOTO, 'WEBP', lossless=True),
}
OTHER = {
    'jpeg cmyk': encoded(Image.merge('CMYK', (*PHOTO.split(), PHOTO.split()[1])), 'JPEG'),
    'png alpha': encoded(WITH_ALPHA, 'PNG'),
    'png grey and alpha': encoded(WITH_ALPHA.convert('LA'), 'PNG'),
    'png palette': encoded(PHOTO.quantize(), 'PNG'),
    'png transparent palette': encoded(PHOTO.quantize(), 'PNG', transparency=bytes(range(256))),
    'png one bit': encoded(PHOTO.convert('1'), 'PNG'),
    'png 16 bits': cv2.imencode('.png', SIXTEEN)[1].tobytes(),
    'webp alpha': encoded(WITH_ALPHA, 'WEBP'),
    'webp moving': encoded(PHOTO, 'WEBP', **two_of(PHOTO)),
    'bmp': encoded(PHOTO, 'BMP'),
    'tiff': encoded(PHOTO, 'TIFF'),
    'gif': encoded(PHOTO, 'GIF'),
}


@pytest.mark.filterwarnings('ignore:Palette images with Transparency')  # of the reference
@pytest.mark.parametrize('kind', [*QUICK, *OTHER])
def test_colours_are_those_of_the_reference(kind):
    content = {**QUICK, **OTHER}[kind]
    assert load(content).shape == reference(content).shape
    assert np.abs(load(content).astype(int) - reference(content)).max() <= 1


@pytest.mark.parametrize('kind', QUICK)
def test_common_kinds_do_not_wait_for_pillow(kind, monkeypatch):
    monkeypatch.setattr(Image, 'open', None)
    assert load(QUICK[kind]).shape == (53, 75, 3)


def test_result_is_bgr_and_of_its_own():
    content = encoded(Image.new('RGB', (4, 3), (250, 120, 10)), 'PNG')
    image = LoadImage().transform(dict(img_path='x', img_bytes=content))
    assert image['img'].shape == (3, 4, 3) and image['img'][0, 0].tolist() == [10, 120, 250]
    assert image['img'].flags.c_contiguous and 'img_bytes' not in image


def test_grey_of_16_bits_keeps_its_upper_eight():
    levels = SIXTEEN[..., 0]
    assert np.array_equal(load(encoded(Image.fromarray(levels), 'PNG')), np.repeat((levels >> 8)[..., None], 3, axis=2))


def test_path_is_read_where_there_are_no_bytes(tmp_path):
    (tmp_path / 'a.png').write_bytes(QUICK['png'])
    found = LoadImage().transform(dict(img_path=str(tmp_path / 'a.png')))['img'][..., ::-1]
    assert np.array_equal(found, np.asarray(PHOTO))


@pytest.mark.parametrize('kind', [
    'jpeg 4:2:0', 'jpeg progressive', 'jpeg cmyk', 'png', 'png palette', 'webp', 'webp alpha', 'tiff'
])
@pytest.mark.parametrize('share', [0.4, 0.6, 0.95])
def test_truncated_file_is_refused_by_its_name(kind, share):
    content = {**QUICK, **OTHER}[kind]
    with pytest.raises(InputError, match='somewhere/a.jpg is (damaged|no image)'):
        load(content[:int(len(content) * share)])


@pytest.mark.parametrize('length', [1, 3, 10, 30])
@pytest.mark.parametrize('kind', ['jpeg 4:2:0', 'png', 'webp', 'webp lossless'])
def test_file_that_ends_in_its_header_is_refused(kind, length):
    with pytest.raises(InputError, match='somewhere/a.jpg is (damaged|no image)'):
        load(QUICK[kind][:length])


def test_png_with_broken_data_is_refused():
    content = bytearray(QUICK['png'])
    content[len(content) // 2:len(content) // 2 + 50] = bytes(50)
    with pytest.raises(InputError, match='somewhere/a.jpg is damaged'):
        load(bytes(content))


def test_text_with_the_name_of_an_image_is_refused(tmp_path):
    (tmp_path / 'a.jpg').write_text('not an image')
    with pytest.raises(InputError, match=r'a\.jpg is no image that can be read'):
        LoadImage().transform(dict(img_path=str(tmp_path / 'a.jpg')))


def test_empty_file_is_refused():
    with pytest.raises(InputError, match=r'somewhere/a\.jpg is empty'):
        load(b'')


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r'gone\.jpg cannot be read: No such file'):
        LoadImage().transform(dict(img_path=str(tmp_path / 'gone.jpg')))


def test_huge_image_is_refused_before_it_is_decoded():
    header = struct.pack('>4sIIBBBBB', b'IHDR', 30_000, 30_000, 8, 2, 0, 0, 0)
    chunk = struct.pack('>I', len(header) - 4) + header + struct.pack('>I', zlib.crc32(header))
    with pytest.raises(InputError, match=f'30000 x 30000 pixels, more than {MAX_PIXELS}'):
        load(b'\x89PNG\r\n\x1a\n' + chunk + encoded(PHOTO, 'PNG')[33:])


@pytest.mark.parametrize('form', ['TIFF', 'BMP'])
def test_huge_image_of_any_other_format_is_refused(form):
    content = encoded(Image.new('1', (9000, 9000)), form)
    with pytest.raises(InputError, match=f'9000 x 9000 pixels, more than {MAX_PIXELS}'):
        load(content)


@pytest.mark.parametrize('kind', QUICK)
def test_header_tells_the_size(kind):
    assert read_header(QUICK[kind])[:2] == (75, 53)


@pytest.mark.parametrize('kind', QUICK)
def test_opencv_gets_whole_files_only(kind):
    """Of the rest of a JPEG, it makes grey pixels and a line on stderr."""
    assert read_header(QUICK[kind]).common
    assert not read_header(QUICK[kind][:-len(QUICK[kind]) // 4]).common
