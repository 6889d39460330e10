import os

import pytest
import torch
from safetensors.torch import save_file

from mmcm.checkpoints.read import read_checkpoint
from mmcm.utils.errors import InputError

WRITERS = {
    'bare.pth': torch.save,
    'old.pth': lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
    'bare.safetensors': save_file,
}
WEIGHTS = {'weight': torch.full((2, 3), 1.0), 'bias': torch.full((2,), -1.0)}


def write(folder, name, content):
    WRITERS[name](content, folder / name)
    return folder / name


class Payload:
    """Runs a command when it is unpickled by plain pickle."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize('name', ['bare.pth', 'old.pth'])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, name):
    trace = tmp_path / 'trace'
    path = write(tmp_path, name, dict(WEIGHTS, extra=Payload(f'touch {trace}')))
    with pytest.raises(InputError, match='system.*refused, nothing in it was run'):
        read_checkpoint(path)
    assert not trace.exists()


def test_payload_of_these_tests_would_run(tmp_path):
    path = write(tmp_path, 'bare.pth', dict(extra=Payload(f'touch {tmp_path / "trace"}')))
    torch.load(path, weights_only=False)
    assert (tmp_path / 'trace').exists()


@pytest.mark.parametrize('name', WRITERS)
def test_truncated_file_is_refused_wherever_it_ends(tmp_path, name):
    whole = write(tmp_path, name, WEIGHTS).read_bytes()
    for end in range(0, len(whole), 7):
        path = tmp_path / f'{end}-{name}'  # a file that was mapped may not be overwritten
        path.write_bytes(whole[:end])
        for mapped in (False, True):
            with pytest.raises(InputError, match=path.name):
                read_checkpoint(path, mapped)


@pytest.mark.parametrize('content', [b'<html>', b'{"a": 1}', b'hello', b'\x00' * 64])
@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_file_of_another_kind_is_refused(tmp_path, suffix, content):
    path = tmp_path / f'page{suffix}'
    path.write_bytes(content)
    with pytest.raises(InputError, match=path.name):
        read_checkpoint(path)


def test_missing_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / 'missing.pth'):
        with pytest.raises(InputError, match='there is no checkpoint file'):
            read_checkpoint(path)
