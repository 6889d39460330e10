import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from mmcm.datasets.transforms import LoadImage
from mmcm.datasets.transforms.load_image import MAX_PIXELS, check_background, decode, read_header
from mmcm.utils.errors import InputError
from mmcm.utils.image_limits import FORMATS


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


def reference(content, background='white'):
    image = Image.open(io.BytesIO(content)).convert('RGBA')
    return np.asarray(Image.alpha_composite(Image.new('RGBA', image.size, background), image).convert('RGB'))


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    return exif


def two_of(image):
    return dict(save_all=True, append_images=[Image.new('RGB', image.size)])


def simple_webp(image):
    """Return a lossless WebP without the header of the extended format, as other encoders write it."""
    content = encoded(image, 'WEBP', lossless=True)
    start = content.index(b'VP8L')
    (size,) = struct.unpack_from('<I', content, start + 4)
    chunk = content[start : start + 8 + size + size % 2]
    return b'RIFF' + struct.pack('<I', 4 + len(chunk)) + b'WEBP' + chunk


def png(width, depth, colour, row, transparent):
    """Return a PNG of one row of bytes."""
    chunks = (
        (b'IHDR', struct.pack('>IIBBBBB', width, 1, depth, colour, 0, 0, 0)),
        (b'tRNS', transparent),
        (b'IDAT', zlib.compress(b'\0' + row)),
        (b'IEND', b''),
    )
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data)) for kind, data in chunks
    )


PHOTO = photograph()
GREY = PHOTO.convert('L')
WITH_ALPHA = Image.merge('RGBA', (*PHOTO.split(), PHOTO.split()[0]))
SIXTEEN = np.random.RandomState(0).randint(0, 2**16, (9, 8, 3)).astype(np.uint16)
SIXTEEN_ALPHA = np.random.RandomState(1).randint(0, 2**16, (9, 8, 4)).astype(np.uint16)
QUICK = {  # through OpenCV
    'jpeg 4:2:0': encoded(PHOTO, 'JPEG', quality=90),
    'jpeg 4:2:2': encoded(PHOTO, 'JPEG', quality=50, subsampling='4:2:2'),
    'jpeg 4:4:4': encoded(PHOTO, 'JPEG', quality=100, subsampling='4:4:4'),
    'jpeg progressive': encoded(PHOTO, 'JPEG', progressive=True),
    'jpeg grey': encoded(PHOTO.convert('L'), 'JPEG'),
    'jpeg turned': encoded(PHOTO, 'JPEG', exif=turned()),
    'png': encoded(PHOTO, 'PNG'),
    'png grey': encoded(PHOTO.convert('L'), 'PNG'),
    'webp': encoded(PHOTO, 'WEBP'),
    'webp lossless': encoded(PHOTO, 'WEBP', lossless=True),
}
OTHER = {
    'jpeg cmyk': encoded(Image.merge('CMYK', (*PHOTO.split(), PHOTO.split()[1])), 'JPEG'),
    'png alpha': encoded(WITH_ALPHA, 'PNG'),
    'png grey and alpha': encoded(WITH_ALPHA.convert('LA'), 'PNG'),
    'png with a transparent colour': encoded(PHOTO, 'PNG', transparency=PHOTO.getpixel((7, 5))),
    'png with a transparent level': encoded(GREY, 'PNG', transparency=GREY.getpixel((7, 5))),
    'png palette': encoded(PHOTO.quantize(), 'PNG'),
    'png transparent palette': encoded(PHOTO.quantize(), 'PNG', transparency=bytes(range(256))),
    'png one bit': encoded(PHOTO.convert('1'), 'PNG'),
    'png 16 bits': cv2.imencode('.png', SIXTEEN)[1].tobytes(),
    'png alpha, 16 bits': cv2.imencode('.png', SIXTEEN_ALPHA)[1].tobytes(),
    'webp alpha': encoded(WITH_ALPHA, 'WEBP'),
    'webp lossless alpha': encoded(WITH_ALPHA, 'WEBP', lossless=True),
    'webp lossless alpha, simple': simple_webp(WITH_ALPHA),
    'tiff alpha': encoded(WITH_ALPHA, 'TIFF'),
    'gif transparent': encoded(PHOTO.quantize(64), 'GIF', transparency=PHOTO.quantize(64).getpixel((7, 5))),
    'webp moving': encoded(PHOTO, 'WEBP', **two_of(PHOTO)),
    'bmp': encoded(PHOTO, 'BMP'),
    'tiff': encoded(PHOTO, 'TIFF'),
    'gif': encoded(PHOTO, 'GIF'),
    **({} if 'AVIF' not in FORMATS else {'avif': encoded(PHOTO, 'AVIF'), 'avif alpha': encoded(WITH_ALPHA, 'AVIF')}),
}


HIDDEN = [kind for kind in OTHER if 'alpha' in kind or 'transparent' in kind]


@pytest.mark.filterwarnings('ignore:Palette images with Transparency')  # of the reference
@pytest.mark.parametrize('kind', [*QUICK, *OTHER])
def test_colours_are_those_of_the_reference(kind):
    content = {**QUICK, **OTHER}[kind]
    assert load(content).shape == reference(content).shape
    assert np.abs(load(content).astype(int) - reference(content)).max() <= 1


@pytest.mark.parametrize('background', ['black', '#10c0ff'])
@pytest.mark.filterwarnings('ignore:Palette images with Transparency')
@pytest.mark.parametrize('kind', HIDDEN)
def test_background_is_behind_what_is_transparent(kind, background):
    results = LoadImage().transform(dict(img_path='x', img_bytes=OTHER[kind], background=background))
    assert results['transparent']
    expected = reference(OTHER[kind], background).astype(int)
    assert not np.array_equal(expected, reference(OTHER[kind]))
    assert np.abs(results['img'][..., ::-1] - expected).max() <= 1


@pytest.mark.filterwarnings('ignore:Palette images with Transparency')
@pytest.mark.parametrize('kind', HIDDEN)
def test_without_a_background_hidden_colours_are_visible(kind):
    results = LoadImage().transform(dict(img_path='x', img_bytes=OTHER[kind], background='none'))
    hidden = np.asarray(Image.open(io.BytesIO(OTHER[kind])).convert('RGBA'))[..., :3]
    assert results['transparent'] and np.array_equal(results['img'][..., ::-1], hidden)


@pytest.mark.parametrize('kind', [*QUICK, *OTHER])
def test_only_images_with_transparency_are_counted(kind):
    results = LoadImage().transform(dict(img_path='x', img_bytes={**QUICK, **OTHER}[kind]))
    assert results['transparent'] == (kind in HIDDEN)


def test_decoding_alone_is_on_white():
    image = Image.new('RGBA', (2, 1), (255, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 255))
    assert decode(encoded(image, 'PNG'), 'x.png').tolist() == [[[255, 255, 255], [0, 0, 255]]]


def test_alpha_of_one_everywhere_is_no_transparency():
    image = Image.merge('RGBA', (*PHOTO.split(), Image.new('L', PHOTO.size, 255)))
    results = LoadImage().transform(dict(img_path='x', img_bytes=encoded(image, 'PNG')))
    assert not results['transparent'] and np.array_equal(results['img'][..., ::-1], np.asarray(PHOTO))


def test_premultiplied_tiff_is_composited_as_the_colours_that_it_stands_for():
    pixels = np.asarray(WITH_ALPHA).astype(float)
    alpha = pixels[..., 3:] / 255
    premultiplied = np.dstack([pixels[..., :3] * alpha, pixels[..., 3:]]).round().astype(np.uint8)
    content = encoded(Image.fromarray(premultiplied), 'TIFF')
    unassociated, associated = (struct.pack('<HHIHH', 338, 3, 1, kind, 0) for kind in (2, 1))  # tag ExtraSamples
    assert content.count(unassociated) == 1
    found = load(content.replace(unassociated, associated))
    # Premultiplied values are rounded (half a level), and so is what they are divided to, and the result.
    assert np.abs(found - (premultiplied[..., :3] + 255 * (1 - alpha))).max() <= 1.5


@pytest.mark.parametrize(
    'depth, colour, row, transparent, expected',
    [
        (1, 0, b'\x50', b'\0\1', [[0] * 3, [255, 0, 0]] * 2),
        (2, 0, b'\x1b', b'\0\2', [[0] * 3, [85] * 3, [255, 0, 0], [255] * 3]),
        (4, 0, b'\x01\x5f', b'\0\5', [[0] * 3, [17] * 3, [255, 0, 0], [255] * 3]),
        (16, 0, bytes(range(8)), b'\2\3', [[0] * 3, [255, 0, 0], [4] * 3, [6] * 3]),
        (16, 2, bytes(range(24)), bytes(range(6, 12)), [[0, 2, 4], [255, 0, 0], [12, 14, 16], [18, 20, 22]]),
    ],
)
def test_transparent_colour_of_a_png_has_the_depth_of_its_pixels(depth, colour, row, transparent, expected):
    content = png(4, depth, colour, row, transparent)
    results = LoadImage().transform(dict(img_path='x', img_bytes=content, background='red'))
    assert results['img'][0, :, ::-1].tolist() == expected


@pytest.mark.parametrize('background', ['nocolour', '#12', '#11223344', 3, None, ''])
def test_what_is_no_background_is_refused(background):
    with pytest.raises(InputError, match='background has to be the name of a colour.*got'):
        check_background(background)


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


@pytest.mark.parametrize(
    'kind', ['jpeg 4:2:0', 'jpeg progressive', 'jpeg cmyk', 'png', 'png palette', 'webp', 'webp alpha', 'tiff']
)
@pytest.mark.parametrize('share', [0.4, 0.6, 0.95])
def test_truncated_file_is_refused_by_its_name(kind, share):
    content = {**QUICK, **OTHER}[kind]
    with pytest.raises(InputError, match='somewhere/a.jpg (cannot be decoded, it is damaged|is no image)'):
        load(content[: int(len(content) * share)])


@pytest.mark.parametrize('length', [1, 3, 10, 30])
@pytest.mark.parametrize('kind', ['jpeg 4:2:0', 'png', 'webp', 'webp lossless'])
def test_file_that_ends_in_its_header_is_refused(kind, length):
    with pytest.raises(InputError, match='somewhere/a.jpg (cannot be decoded, it is damaged|is no image)'):
        load(QUICK[kind][:length])


def test_png_with_broken_data_is_refused():
    content = bytearray(QUICK['png'])
    content[len(content) // 2 : len(content) // 2 + 50] = bytes(50)
    with pytest.raises(InputError, match='somewhere/a.jpg cannot be decoded, it is damaged'):
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
    assert not read_header(QUICK[kind][: -len(QUICK[kind]) // 4]).common
