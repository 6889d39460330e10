import io

import cv2
import numpy as np
import pytest
from PIL import Image

from mmcm.apis.editing.images import open_image
from mmcm.datasets.transforms import LoadImage
from mmcm.utils.errors import InputError
from support.tiff_files import RAMP, tiff, tiff_of


def for_training(content, folder):
    return LoadImage().transform(dict(img_path='a.tif', img_bytes=content))['img'][0, :, 0]


def for_editing(content, folder):
    (folder / 'a.tif').write_bytes(content)
    return np.asarray(open_image(folder / 'a.tif'))[0, :, 0]


READERS = pytest.mark.parametrize('read', [for_training, for_editing])
UPPER = RAMP[0] >> 8


def colours(values):
    return np.repeat(values[..., None], 3, axis=2)


def png(values):
    return cv2.imencode('.png', values)[1].tobytes()


@READERS
@pytest.mark.parametrize(
    'content, expected',
    [
        (tiff(RAMP), UPPER),
        (tiff(RAMP, order='>'), UPPER),
        (tiff(RAMP, photometric=0), UPPER[::-1]),  # 0 is white
        (tiff((RAMP >> 8).astype(np.uint8), photometric=0), UPPER[::-1]),
        (tiff(RAMP.astype(np.int32)), UPPER),
        (tiff(colours(RAMP)), UPPER),
        (tiff_of(bytes.fromhex('000888fff777'), 4, 1, 12), [0x00, 0x88, 0xFF, 0x77]),  # 12 bits for each
        (tiff(np.zeros((2, 16), np.uint16)), np.zeros(16)),
        (png(RAMP), UPPER),
        (png(colours(RAMP)), UPPER),
    ],
)
def test_levels_are_those_of_a_documented_scale(read, content, expected, tmp_path):
    assert read(content, tmp_path).tolist() == list(expected)


WITH_NAN = np.where(np.arange(16) == 3, np.nan, RAMP / 65535).astype(np.float32)


@READERS
@pytest.mark.parametrize(
    'content, reason',
    [
        (tiff((RAMP / 65535).astype(np.float32)), 'floating point numbers'),
        (tiff(RAMP.astype(np.float32)), 'floating point numbers'),
        (tiff(WITH_NAN), 'floating point numbers'),
        (tiff(RAMP.astype(np.int32) * 16), 'its values, 0 to 1048560, lie beyond 16 bits, of which 65535 is white'),
        (tiff(RAMP.astype(np.int32) - 100), 'its values, -100 to 65435, lie beyond 16 bits'),
        (tiff((RAMP.astype(np.int32) - 32768).astype(np.int16)), 'its values, -32768 to 32767, lie beyond'),
        (tiff(RAMP.astype(np.uint32) * 65537), 'lie beyond 16 bits'),
        (tiff(RAMP >> 8), 'its values end at 255, and 65535 is the white of 16 bits'),
        (tiff(RAMP.astype(np.int32) >> 8), 'its values end at 255'),
        (png(RAMP >> 8), 'its values end at 255'),
        (png(colours(RAMP >> 8)), 'the upper eight of its 16 bits are 0 everywhere'),
        (tiff(colours(RAMP >> 8)), 'the upper eight of its 16 bits are 0 everywhere'),
        (tiff(RAMP / 65535), 'no (image|picture) that can be read'),
        (tiff(colours(RAMP.astype(np.float32))), 'no (image|picture) that can be read'),
    ],
)
def test_what_would_become_black_or_wrap_is_refused_by_its_name(read, content, reason, tmp_path):
    with pytest.raises(InputError, match=rf'a\.tif is (not read, )?.*{reason}') as raised:
        read(content, tmp_path)
    assert '\n' not in str(raised.value)


def test_a_turned_photograph_of_16_bits_keeps_its_scale(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    content = io.BytesIO()
    Image.fromarray(RAMP).save(content, 'PNG', exif=exif)
    assert for_editing(content.getvalue(), tmp_path).tolist() == list(UPPER[::-1])
    assert for_training(content.getvalue(), tmp_path).tolist() == list(UPPER)  # which does not look at it
