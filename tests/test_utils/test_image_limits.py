import io

import pytest
from PIL import Image

from mmcm.utils.image_limits import (
    FREE_PIXELS,
    PIXELS_PER_BYTE,
    PNG_SIGNATURE,
    SCANNED_PIXELS,
    is_plain_png,
    why_refused,
)


def encoded(form, **options):
    file = io.BytesIO()
    Image.new('RGB', (40, 30), 'red').save(file, form, **options)
    return file.getvalue()


def test_pixels_are_bounded_by_the_file():
    side = int(FREE_PIXELS**0.5)
    assert why_refused(b'', side, side) is None
    assert 'a file of 5 bytes may have' in why_refused(b'abcde', side, side + 1)
    assert why_refused(bytes(2 * FREE_PIXELS // PIXELS_PER_BYTE), side, 2 * side) is None


def test_scans_of_a_jpeg_are_bounded():
    content = encoded('JPEG', progressive=True)
    assert why_refused(content, 40, 30) is None
    assert 'scans of 1200 pixels' in why_refused(content + b'\xff\xda' * (SCANNED_PIXELS // 1200), 40, 30)


def test_png_is_plain_if_its_chunks_lie_in_it():
    content = encoded('PNG')
    assert is_plain_png(content)
    for end in range(8, len(content)):
        assert not is_plain_png(content[:end])
    assert not is_plain_png(content[:8] + b'\x7f\xff\xff\xff' + content[12:])


@pytest.mark.parametrize('kind', [b'iCCP', b'zTXt', b'acTL', b'abcd'])
def test_png_with_other_chunks_is_left_to_pillow(kind):
    content = encoded('PNG')
    assert not is_plain_png(content[:33] + b'\0\0\0\0' + kind + bytes(4) + content[33:])
    assert content.startswith(PNG_SIGNATURE)
