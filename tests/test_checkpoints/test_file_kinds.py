"""Files that are given in place of weights are called what they are, whatever their names are."""

import bz2
import gzip
import io
import lzma
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mmcm.checkpoints.read import read_checkpoint
from mmcm.utils.errors import InputError

WEIGHTS = {'weight': torch.full((2, 3), 1.0), 'bias': torch.full((2,), -1.0)}
NAMES = ['x.pt', 'x.safetensors', 'x.ckpt', 'x']


def saved():
    stream = io.BytesIO()
    torch.save(WEIGHTS, stream)
    return stream.getvalue()


def archived(name, content):
    """A zip of one file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w') as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def tarred():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode='w') as archive:
        archive.addfile(tarfile.TarInfo('weights.pt'))
    return stream.getvalue()


def array_file(write):
    stream = io.BytesIO()
    write(stream, np.ones(3))
    return stream.getvalue()


def script():
    stream = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), stream)
    return stream.getvalue()


KINDS = [
    (
        lambda: b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1184921261\n',
        r'a Git LFS pointer in place of the file \(73 bytes\).*git lfs pull',
    ),
    (lambda: b'/annex/objects/SHA256E-s12--00.pt\n', 'a git-annex pointer .*git annex get'),
    (lambda: b'../../.git/annex/objects/x/y/SHA256E-s12--00.pt', 'a git-annex pointer .*git annex get'),
    (lambda: b'\n<!DOCTYPE html><html><body>Not found</body></html>', 'an HTML page .*download the file itself'),
    (lambda: b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', 'an XML text .*with an error'),
    (lambda: b'{"error":"Repository not found"}', r'a JSON text \(it begins with .*Repository not found'),
    (lambda: b'{"weight_map": {"a": "b"}}', 'the index of weights in parts .*name the folder'),
    (lambda: b'Invalid username or password.\n', "a text .it begins with 'Invalid username or password.'"),
    (lambda: b'', 'empty: .*Download or write it again'),
    (lambda: bytes(4096), 'a file that begins with zeros'),
    (lambda: gzip.compress(saved()), 'a gzip file, and no checkpoint: unpack it'),
    (lambda: bz2.compress(saved()), 'a bzip2 file, and no checkpoint: unpack it'),
    (lambda: lzma.compress(saved()), 'an xz file, and no checkpoint: unpack it'),
    (tarred, 'a tar archive, and no checkpoint: unpack it'),
    (lambda: archived('folder/weights.pt', saved()), 'a zip archive, .*unpack it and name folder/weights.pt'),
    (lambda: array_file(np.save), 'a NumPy array'),
    (lambda: array_file(lambda stream, array: np.savez(stream, a=array)), 'an .npz of NumPy arrays'),
    (lambda: b'\x89HDF\r\n\x1a\n' + bytes(99), 'an HDF5 file, as Keras and TensorFlow write it'),
    (lambda: b'GGUF\x03' + bytes(99), 'a GGUF file'),
    (lambda: b'\x08\x0a\x12\x07pytorch\x1a\x032.13', 'an ONNX file, .*exported from'),
    (lambda: b'\x81\xa6params\x81\xa5Dense\x80', 'a msgpack file, as Flax writes it'),
    (lambda: b'\x89PNG\r\n\x1a\n' + bytes(99), 'an image'),
    (
        lambda: pickle.dumps({key: value.numpy() for key, value in WEIGHTS.items()}),
        "a pickle of Python's own pickle module.*nothing in it was run",
    ),
    pytest.param(
        script, 'a TorchScript archive.*save its weights alone', marks=pytest.mark.filterwarnings('ignore:.*torch.jit')
    ),
]


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('make, message', KINDS)
def test_file_of_another_kind_is_called_what_it_is(tmp_path, make, message, name):
    (tmp_path / name).write_bytes(make())
    with pytest.raises(InputError, match=f'{name} is {message}') as error:
        read_checkpoint(tmp_path / name)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('name', ['saved_model.pb', 'model.ckpt-9.data-00000-of-00001'])
def test_file_of_tensorflow_is_told_by_its_name(tmp_path, name):
    (tmp_path / name).write_bytes(b'\xff\x00\x9c' * 9)
    with pytest.raises(InputError, match='a file of TensorFlow'):
        read_checkpoint(tmp_path / name)


@pytest.mark.parametrize('name', [*NAMES, 'x.SAFETENSORS', 'x.bin', 'x.pth.tar'])
@pytest.mark.parametrize(
    'write',
    [save_file, torch.save, lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False)],
    ids=['safetensors', 'zip', 'older'],
)
@pytest.mark.parametrize('mapped', [False, True])
def test_weights_are_read_under_any_name(tmp_path, write, name, mapped):
    write(WEIGHTS, tmp_path / name)
    read = read_checkpoint(tmp_path / name, mapped)
    assert {key: value.tolist() for key, value in read.items()} == {k: v.tolist() for k, v in WEIGHTS.items()}


@pytest.mark.parametrize('older', [False, True])
def test_other_protocols_of_pickle_are_told(tmp_path, older):
    torch.save(WEIGHTS, tmp_path / 'x.pt', pickle_protocol=4, _use_new_zipfile_serialization=not older)
    with pytest.raises(InputError, match='another protocol than 2.*nothing in it was run.*without pickle_protocol'):
        read_checkpoint(tmp_path / 'x.pt')


def test_file_that_was_cut_off_says_so(tmp_path):
    save_file(WEIGHTS, tmp_path / 'x.safetensors')
    (tmp_path / 'x.safetensors').write_bytes((tmp_path / 'x.safetensors').read_bytes()[:-3])
    with pytest.raises(InputError, match='is no whole checkpoint .*not fully covered.*Download or write it again'):
        read_checkpoint(tmp_path / 'x.safetensors')
