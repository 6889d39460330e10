"""TIFF files of kinds that Pillow does not write."""

import struct

import numpy as np

UNSIGNED, SIGNED, FLOATING = 1, 2, 3  # values of the tag SampleFormat


def tiff(pixels, photometric=1, order='<'):
    """Return pixels (H, W) or (H, W, 3), of any type of numbers, as a TIFF; with `photometric` 0, zero is white."""
    height, width, *channels = pixels.shape
    kind = dict(u=UNSIGNED, i=SIGNED, f=FLOATING)[pixels.dtype.kind]
    content = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    return tiff_of(content, width, height, 8 * pixels.itemsize, photometric, kind, *channels, order=order)


def tiff_of(content, width, height, bits, photometric=1, kind=UNSIGNED, samples=1, order='<'):
    """Return a TIFF of one strip."""
    start, behind = 8 + 2 + 12 * 10 + 4, b''
    arrays = {}
    for tag, value in ((258, bits), (339, kind)):  # BitsPerSample, SampleFormat
        arrays[tag] = struct.pack(order + 'HHIHH', tag, 3, 1, value, 0)
        if samples > 1:
            arrays[tag] = struct.pack(order + 'HHII', tag, 3, samples, start + len(behind))
            behind += struct.pack(f'{order}{samples}H', *[value] * samples)
    numbers = {
        256: width,
        257: height,
        259: 1,
        262: 2 if samples > 1 else photometric,
        273: start + len(behind),
        277: samples,
        278: height,
        279: len(content),
    }
    entries = {tag: struct.pack(order + 'HHII', tag, 4, 1, value) for tag, value in numbers.items()} | arrays
    assert len(entries) == 10
    directory = struct.pack(order + 'H', 10) + b''.join(entries[tag] for tag in sorted(entries)) + bytes(4)
    magic = b'II*\0' if order == '<' else b'MM\0*'
    return magic + struct.pack(order + 'I', 8) + directory + behind + content


RAMP = np.linspace(0, 65535, 16).astype(np.uint16)[None].repeat(2, 0)
