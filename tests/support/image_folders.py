"""Folders of images, for tests of their readers."""

import struct
import zlib

import cv2
import numpy as np


def write_folder(folder, count=20, size=(6, 8)):
    """Write PNGs of noise, image i as {'a' or 'b'}/{i:03d}.png, and return `folder`."""
    random = np.random.RandomState(0)
    for index in range(count):
        path = folder / 'ab'[index % 2] / f'{index:03d}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), random.randint(0, 256, (*size, 3), np.uint8))
    return folder


def files(folder):
    """Return the names of the files right in `folder`, hidden ones too."""
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def png_header(width, height):
    """Return a PNG file that says how large it is, and holds no pixels."""

    def chunk(kind, content):
        return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))

    size = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', size) + chunk(b'IDAT', zlib.compress(b'')) + chunk(b'IEND', b'')


def write_transparent_folder(folder, count=6, size=(8, 8)):
    """Write PNGs whose middle is opaque, and whose other colours, bright noise, lie under alpha 0; return `folder`.

    Image i is {'cat' or 'dog'}/{i}.png; the middle is red for cats and blue for dogs.
    """
    random = np.random.RandomState(0)
    for index in range(count):
        pixels = np.dstack([random.randint(0, 256, (*size, 3), np.uint8), np.zeros(size, np.uint8)])
        pixels[2:-2, 2:-2] = ((0, 0, 255, 255), (255, 0, 0, 255))[index % 2]  # BGRA
        path = folder / ('cat', 'dog')[index % 2] / f'{index}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), pixels)
    return folder
