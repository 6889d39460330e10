"""Kinds of files that are given as weights by mistake, recognised by their first bytes.

A Git LFS pointer, the error page of a server or a compressed file may have the name of a checkpoint. Only the first
bytes of a file are read, and the names in the directory of a zip.
"""

import re
import struct
from pathlib import Path

from mmcm.utils.bounded import Unreadable, open_directory
from mmcm.utils.stand_ins import HEAD, stand_in

SHOWN = 60  # characters of a text that a message quotes
SAFETENSORS_HEADER = 2**24  # bytes of a safetensors header: 100 000 tensors; the text of a config has 10 kB
ZIP = b'PK\x03\x04'
PICKLE = b'\x80'  # every pickle since protocol 2 begins with it
PROTOCOL_0 = b'L119547'  # start of torch.save(..., pickle_protocol=0) in the older format, which is a text
MAGICS = (
    (rb'\x1f\x8b', 'a gzip file', 'unpack it (gzip -d, or tar xf if it is a tar) and name what it holds'),
    (rb'BZh\d1AY&SY', 'a bzip2 file', 'unpack it and name what it holds'),
    (rb'\xfd7zXZ\x00', 'an xz file', 'unpack it and name what it holds'),
    (rb'\x28\xb5\x2f\xfd', 'a Zstandard file', 'unpack it and name what it holds'),
    (rb'7z\xbc\xaf\x27\x1c', 'a 7-Zip archive', 'unpack it and name what it holds'),
    (rb'Rar!\x1a\x07', 'a RAR archive', 'unpack it and name what it holds'),
    (rb'.{257}ustar', 'a tar archive', 'unpack it (tar xf) and name what it holds'),
    (
        rb'\x89HDF\r\n\x1a\n',
        'an HDF5 file, as Keras and TensorFlow write it',
        'the weights of a PyTorch network are needed (.safetensors, .pt)',
    ),
    (rb'GGUF', 'a GGUF file, of quantised weights', 'the weights of a PyTorch network are needed (.safetensors, .pt)'),
    (
        rb'\x08[\x01-\x14](\x12.?(pytorch|tf2onnx|onnx|mmcm|keras|skl)|[\x12\x1a\x2a\x3a\x42].*onnx)',
        'an ONNX file',
        'it is a graph with constants: name the file of weights that it was exported from',
    ),
    (rb'\x93NUMPY', 'a NumPy array (.npy)', 'save the tensors with their names (torch.save of the state dict)'),
    (rb'\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP', 'an image', 'name a file of weights'),
    (rb'%PDF', 'a PDF document', 'name a file of weights'),
    (
        rb'[\x81-\x8f](?:[\xa1-\xbf]|\xd9.)[\w./-]|\xde..(?:[\xa1-\xbf]|\xd9.)[\w./-]',
        'a msgpack file, as Flax writes it',
        'the weights of a PyTorch network are needed (.safetensors, .pt)',
    ),
    (
        rb'\x80[\x02-\x05](?!(\x95.{8})?\x8a).',  # torch.save begins with a large number
        "a pickle of Python's own pickle module",
        'refused, nothing in it was run; in the program that it comes from, save the weights alone '
        '(torch.save(net.state_dict(), path))',
    ),
    (rb'....TFL3', 'a file of TensorFlow Lite', 'the weights of a PyTorch network are needed (.safetensors, .pt)'),
    (rb'\x00{512}', 'a file that begins with zeros, as a download that did not finish', 'download it again'),
)
NAMES = (  # patterns of file names, for contents without a signature
    (
        r'.*\.pb|.*\.data-\d{5}-of-\d{5}|.*\.ckpt\S*\.index',
        'a file of TensorFlow',
        'the weights of a PyTorch network are needed (.safetensors, .pt)',
    ),
)
RECORDS = (  # patterns of names in a zip, each with the kind of archive
    (r'.*\.npy', 'an .npz of NumPy arrays', 'save the tensors with their names (torch.save of the state dict)'),
    (
        r'[^/]+/constants\.pkl',
        'a TorchScript archive, which is a program',
        'save its weights alone where you trust it (torch.save(torch.jit.load(path).state_dict(), out))',
    ),
    (
        r'[^/]+/archive_format',
        'a graph of torch.export',
        'it is a program with constants: name the file of weights that it was exported from',
    ),
    (r'(.*/)?model\.weights\.h5', 'a file of Keras', 'the weights of a PyTorch network are needed (.safetensors, .pt)'),
    (r'(?!.*/data\.pkl$).*\.(safetensors|pt|pth|ckpt|bin|pkl|zip)', 'a zip archive', 'unpack it and name {found}'),
)


def is_safetensors(path: Path) -> bool:
    """Return whether a file begins like safetensors: with the length of a header and a JSON object."""
    with path.open('rb') as file:
        head = file.read(9)
    return len(head) == 9 and struct.unpack('<Q', head[:8])[0] <= SAFETENSORS_HEADER and head[8:] == b'{'


def is_zip(path: Path) -> bool:
    """Return whether a file begins like a zip archive, which `torch.save` writes."""
    with path.open('rb') as file:
        return file.read(len(ZIP)) == ZIP


def is_pickled(path: Path) -> bool:
    """Return whether a file begins like one of `torch.save`, in either of its formats."""
    with path.open('rb') as file:
        return file.read(len(ZIP)).startswith((ZIP, PICKLE))


def what_it_is(path: Path) -> str | None:
    """Describe a file that is no checkpoint and the way out; return None if it may be one.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open('rb') as file:
        head = file.read(HEAD)
    if not head:
        return 'empty: the copy or the download did not begin. Download or write it again'
    if head.startswith(ZIP):
        return _zip_kind(path)
    if is_safetensors(path) or head.startswith(PROTOCOL_0):
        return None
    for pattern, what, way in MAGICS:
        if re.match(pattern, head, re.DOTALL):
            return f'{what}, and no checkpoint: {way}'
    return _text_kind(path, head) or next(
        (f'{what}, and no checkpoint: {way}' for pattern, what, way in NAMES if re.fullmatch(pattern, path.name)), None
    )


def _zip_kind(path: Path) -> str | None:
    try:
        names = [entry.filename for entry in open_directory(path)]
    except Unreadable:  # reported by the reader of checkpoints
        return None
    for pattern, what, way in RECORDS:
        found = next((name for name in names if re.fullmatch(pattern, name)), None)
        if found:
            return f'{what}, and no checkpoint: {way.format(found=found[:SHOWN])}'
    return None


def _text_kind(path: Path, head: bytes) -> str | None:
    found = stand_in(path)
    if found is not None:
        return found
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4 or len(head) < HEAD:  # the last character may be cut
            return None
        text = head[: error.start].decode()
    if not all(character.isprintable() or character.isspace() for character in text):
        return None
    line = ' '.join(text.split())
    begins = f'it begins with {line[:SHOWN]!r}'
    if '"weight_map"' in text or path.name.endswith('.index.json'):
        return f'the index of weights in parts ({begins}), and no checkpoint: name the folder that it lies in'
    if line.startswith(('{', '[')):
        return (
            f'a JSON text ({begins}), and no checkpoint: a server may have answered with an error; download the '
            'file again'
        )
    return f'a text ({begins}), and no checkpoint: name the file of weights, or download it again'
