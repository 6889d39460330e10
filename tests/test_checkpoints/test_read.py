import os
import pickle
import shutil

import pytest
import torch
from safetensors.torch import save_file

from mmcm.checkpoints import read
from mmcm.checkpoints.read import is_snapshot, read_checkpoint
from mmcm.cli.convert import main as convert
from mmcm.cli.sample import main as sample
from mmcm.utils.errors import InputError
from support.hostile_snapshots import configs
from support.parity import FOLDER

PICKLE = FOLDER / 'edm2_snapshot_tiny.pkl'  # genuine, but for a word in place of the program's source
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


@pytest.mark.parametrize('name', ['edm2.pkl', 'edm2.pt', 'edm2'])
def test_network_pickle_is_recognised_by_its_content(tmp_path, name):
    shutil.copyfile(PICKLE, tmp_path / name)
    assert list(read_checkpoint(tmp_path / name)) == ['ema']


def test_first_protocols_are_recognised(tmp_path):
    path = tmp_path / 'edm.pkl'
    path.write_bytes(b'\x80\x02}U\x03emactorch_utils.persistence\n_reconstruct_persistent_obj\n(dtRs.')
    with pytest.raises(InputError, match='is no whole checkpoint .*its pickle is damaged'):
        read_checkpoint(path)


def test_other_files_are_not_looked_at_further(tmp_path):
    torch.save({'torch_utils.persistence._reconstruct_persistent_obj': torch.zeros(1)}, tmp_path / 'zip.pt')
    (tmp_path / 'other.pkl').write_bytes(pickle.dumps(dict(ema='torch_utils.persistence')))
    (tmp_path / 'empty.pt').write_bytes(b'')
    for name in ('zip.pt', 'other.pkl', 'empty.pt', 'missing.pt'):
        assert not is_snapshot(tmp_path / name)


@pytest.mark.parametrize(
    'command, arguments',
    [
        (sample, ['--model', 'other.pkl', '--out', 'x.png']),
        (convert, ['other.pkl', 'x.pt']),
        (convert, ['other.pkl', 'x.safetensors', '--config', 'digits']),
    ],
)
def test_commands_say_what_a_network_without_counterpart_is(tmp_path, monkeypatch, capsys, command, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'other.pkl').write_bytes(dict(configs())['unknown preconditioning'])
    with pytest.raises(SystemExit) as exit_:
        command(arguments)
    error = capsys.readouterr().err
    assert exit_.value.code == 2 and error.count('\n') == 1 and ('VEPrecond' in error or 'holds no state' in error)
    assert [path.name for path in tmp_path.iterdir()] == ['other.pkl']


@pytest.mark.parametrize('part', [1, 20, 1 << 26])
def test_tensors_are_converted_as_they_are_read(tmp_path, monkeypatch, part):
    monkeypatch.setattr(read, 'PART', part)  # a file of one part, of several, and one for each tensor
    content = {f'w{index}': torch.full((3,), index + 1 / 512, dtype=torch.float32) for index in range(5)}
    content |= dict(half=torch.ones(2, dtype=torch.float16), count=torch.tensor(7), name=torch.tensor([1 + 2j]))
    path = write(tmp_path, 'bare.safetensors', content)
    found = read_checkpoint(path, dtype=torch.bfloat16)
    assert {key: value.dtype for key, value in found.items() if value.dtype != torch.bfloat16} == dict(
        count=torch.int64, name=torch.complex64
    )
    assert found.keys() == content.keys()
    for key, value in content.items():
        assert torch.equal(found[key], value.to(found[key].dtype))


def test_names_of_exact_tensors_are_not_converted(tmp_path):
    content = {'net.freqs': torch.full((3,), 1 + 1 / 512), 'net.weight': torch.full((3,), 1 + 1 / 512)}
    found = read_checkpoint(write(tmp_path, 'bare.safetensors', content), dtype=torch.bfloat16, exact=('freqs',))
    assert torch.equal(found['net.freqs'], content['net.freqs']) and found['net.weight'].dtype == torch.bfloat16
