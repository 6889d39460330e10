import contextlib
import io
import struct

import numpy as np
import pytest
from PIL import Image

from mmcm.datasets.transforms import LoadImage
from mmcm.utils.avif_limits import REFERENCES, coded_pixels, is_avif, pixels_of, why_avif_refused
from mmcm.utils.bounded import Unreadable
from mmcm.utils.errors import InputError
from mmcm.utils.image_limits import FORMATS, FREE_PIXELS

pytestmark = pytest.mark.skipif('AVIF' not in FORMATS, reason='AVIF in Pillow')
NOISE = np.random.RandomState(0).randint(0, 256, (33, 65, 3)).astype(np.uint8)


def avif(pixels=NOISE, mode='RGB', **options):
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, 'AVIF', speed=10, **options)
    return file.getvalue()


def bits(*fields):
    """Return numbers, each with its width, as bytes."""
    text = ''.join(f'{value:0{width}b}' for width, value in fields)
    return int(text.ljust(-(-len(text) // 8) * 8, '0'), 2).to_bytes(-(-len(text) // 8), 'big')


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'L'])
@pytest.mark.parametrize('options', [{}, dict(quality=100, subsampling='4:4:4'), dict(exif=Image.Exif().tobytes())])
def test_pixels_of_a_picture_are_those_that_its_file_declares(mode, options):
    content = avif(mode=mode, **options)
    assert is_avif(content) and coded_pixels(content) == 33 * 65 and why_avif_refused(content, 33 * 65) is None


def test_size_of_the_data_counts_and_not_that_of_the_file():
    side = int((FREE_PIXELS // 2) ** 0.5) + 2  # 2898
    content = avif(np.zeros((side, side, 3), np.uint8))
    content = content.replace(struct.pack('>II', side, side), struct.pack('>II', 8, 8))
    assert Image.open(io.BytesIO(content)).size == (8, 8) and coded_pixels(content) == side**2
    with pytest.raises(InputError, match=f'x is not decoded: its AV1 data ask for up to {side**2} pixels'):
        LoadImage().transform(dict(img_path='x', img_bytes=content))


def test_header_of_a_still_picture_tells_its_size_and_others_a_bound():
    still = bits((3, 0), (1, 1), (1, 1), (5, 4), (4, 13), (4, 11), (14, 9999), (12, 2047))
    assert pixels_of(still) == 10000 * 2048
    other = bits((3, 0), (1, 0), (1, 0), (1, 0), (1, 0), (5, 0), (12, 0), (5, 4), (4, 13), (4, 11), (14, 1), (12, 1))
    assert pixels_of(other) == REFERENCES * 2**14 * 2**12
    tiers = bits(
        (3, 0),
        (1, 0),
        (1, 0),
        (1, 0),
        (1, 1),
        (5, 1),
        *[(12, 0), (5, 9), (1, 0), (1, 1), (4, 3)] * 2,
        (4, 13),
        (4, 11),
        (14, 1),
        (12, 1),
    )
    assert pixels_of(tiers) == REFERENCES * 2**14 * 2**12


def test_animation_is_refused():
    moving = avif(save_all=True, append_images=[Image.fromarray(NOISE[::-1])])
    with pytest.raises(Unreadable, match='it is animated'):
        coded_pixels(moving)
    with pytest.raises(InputError, match='x is not decoded: it is an AVIF, and it is animated'):
        LoadImage().transform(dict(img_path='x', img_bytes=moving))


@pytest.mark.parametrize(
    'old, new, reason',
    [
        (b'av01Color', b'gridColor', 'composed of several'),
        (b'iinf', b'free', 'a box is missing'),
        (b'\x21hdlr', b'\xffhdlr', 'goes beyond its end'),
        (b'pitm', b'iloc', 'there twice'),
        (b'infe\2', b'infe\1', 'no kinds'),
    ],
)
def test_boxes_of_other_kinds_are_refused(old, new, reason):
    content = avif()
    assert content.count(old) == 1
    with pytest.raises(Unreadable, match=reason):
        coded_pixels(content.replace(old, new))


def test_damaged_file_is_unreadable_and_nothing_else():
    content = avif(mode='RGBA')
    random = np.random.RandomState(0)
    for _ in range(2000):
        changed = bytearray(content[: random.randint(12, len(content))] if random.rand() < 0.3 else content)
        for place in random.randint(12, min(len(changed), 700), 3):
            if place < len(changed):
                changed[place] = random.choice([0, 1, 127, 255, random.randint(256)])
        with contextlib.suppress(Unreadable):
            assert coded_pixels(bytes(changed)) >= 0
