"""Provenance: the record of what made a file, as JSON in a text chunk of PNGs and in other files.

A record says nothing about time, user, folder or machine name, so that the same request makes the same bytes. Records
in files are input from others: `read_png` returns a bounded, parsed value that nobody has checked yet.
"""

import json
import platform
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch

from mmcm.utils.bounded import Unreadable, parse_json, read_file
from mmcm.utils.image_limits import MAX_IMAGE_BYTES, MAX_SEGMENTS, PNG_SIGNATURE, TEXT_CHUNK_BYTES, png_chunks
from mmcm.version import __version__

FORMAT = 1
KEY = 'mmcm-provenance'  # keyword of the text chunk, and name of the entry in JSON files
AFTER_HEADER = len(PNG_SIGNATURE) + 25  # bytes of the signature and of IHDR, which has to be the first chunk
MAX_VALUES = 10**5


def record_of(kind: str, **facts: Any) -> dict[str, Any]:
    """Return a record: the format, what was made (`kind`), versions and `facts`, as plain values of JSON."""
    return json.loads(json.dumps(dict(format=FORMAT, kind=kind, versions=versions(), **facts), default=str))


def versions() -> dict[str, str]:
    """Return the versions of the programs that pixels depend on."""
    return dict(mmcm=__version__, torch=torch.__version__, numpy=np.__version__, python=platform.python_version())


def device_name(device: torch.device) -> str:
    """Return the kind of machine that rounds alike: the GPU, or the instruction set of the processor."""
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    return f'{device.type} {platform.machine()} {torch.backends.cpu.get_cpu_capability()}'


def shown_source(source: Any) -> str | None:
    """Return the name of a model or a file for a record: without folders, passwords and queries; None for no name."""
    if not isinstance(source, (str, Path)):
        return None
    text = str(source)
    address = urlsplit(text)
    if address.scheme in ('http', 'https'):
        return f'{address.scheme}://{address.hostname or ""}{address.path}'
    path = Path(text)
    return path.name if path.is_absolute() or text.startswith(('~', '.')) else text


def text_of(record: Mapping[str, Any]) -> str:
    """Return a record as text of ASCII letters, the same for the same record."""
    return json.dumps(record, sort_keys=True, separators=(',', ':'))


def with_record(png: bytes, record: Mapping[str, Any]) -> bytes:
    """Return a PNG with a text chunk of the record behind its header; all other bytes stay as they are."""
    data = KEY.encode() + b'\0' + text_of(record).encode('ascii')
    assert len(data) <= TEXT_CHUNK_BYTES, 'records leave out long lists'
    body = b'tEXt' + data
    chunk = len(data).to_bytes(4, 'big') + body + zlib.crc32(body).to_bytes(4, 'big')
    return png[:AFTER_HEADER] + chunk + png[AFTER_HEADER:]


def read_png(path: Path) -> Any:
    """Return the record in a PNG, an unchecked value of JSON.

    Raises:
        Unreadable: If the file is no PNG, or has no record that can be read.
        OSError: If it cannot be opened.
    """
    content = read_file(path, MAX_IMAGE_BYTES)
    if not content.startswith(PNG_SIGNATURE):
        raise Unreadable('it is no PNG')
    position = len(PNG_SIGNATURE)
    for number, (kind, length, whole) in enumerate(png_chunks(content)):
        if not whole or number == MAX_SEGMENTS:
            break
        start, position = position + 8, position + 12 + length
        if kind == b'tEXt' and content.startswith(KEY.encode() + b'\0', start):
            text = content[start + len(KEY) + 1 : start + length]
            return parse_json(text, TEXT_CHUNK_BYTES, MAX_VALUES)
    raise Unreadable('it has no record of what made it')
