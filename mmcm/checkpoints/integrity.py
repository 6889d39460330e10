"""Check that a downloaded checkpoint file is whole, by its own format: a digest is not always known."""

import struct
import zipfile
from pathlib import Path

from mmcm.utils.bounded import JSON_BYTES, Unreadable, open_directory, parse_json
from mmcm.utils.stand_ins import stand_in


def why_incomplete(path: Path, suffix: str) -> str | None:
    """Say what is missing from a file; None if nothing is, or if its format does not tell.

    Args:
        path (Path): The file.
        suffix (str): The suffix that it will have, '.safetensors' for example. The zip archives of `torch.save` are
            recognised by their first bytes.
    """
    size = path.stat().st_size
    page = stand_in(path)
    if page is not None:
        return f'what arrived is {page}'
    with path.open('rb') as file:
        start = file.read(8)
        if start.startswith(b'PK\x03\x04'):
            if not zipfile.is_zipfile(path):
                return f'it is not whole: a zip archive of which {size} bytes arrived and the end is missing'
            try:
                open_directory(path)
            except Unreadable as error:
                return f'it is not whole: {error}'
        if suffix.lower() != '.safetensors':
            return None
        try:
            (length,) = struct.unpack('<Q', start)
            if length > min(size, JSON_BYTES):
                raise ValueError
            header = parse_json(file.read(length))
            ends = [entry['data_offsets'][1] for name, entry in header.items() if name != '__metadata__']
            expected = 8 + length + max(ends, default=0)
        except (struct.error, ValueError, AttributeError, KeyError, TypeError):
            return f'it is no whole safetensors file: {size} bytes arrived, and their header cannot be read'
    return None if size == expected else f'it is not whole: {size} bytes arrived, its header declares {expected}'
