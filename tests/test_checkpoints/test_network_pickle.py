import pickle
import shutil

import pytest
import torch

from mmcm.checkpoints.network_pickle import refuse_network_pickle
from mmcm.checkpoints.read import read_checkpoint
from mmcm.cli.convert import main as convert
from mmcm.cli.sample import main as sample
from mmcm.utils.errors import InputError
from support.parity import FOLDER

PICKLE = FOLDER / 'edm2_snapshot_tiny.pkl'  # genuine, but for a word in place of the program's source


@pytest.mark.parametrize('name', ['edm2.pkl', 'edm2.pt', 'edm2'])
def test_network_pickle_is_recognised_by_its_content(tmp_path, name):
    shutil.copyfile(PICKLE, tmp_path / name)
    with pytest.raises(InputError, match='is an EDM/EDM2 network pickle: it contains program source, which mmcm does'):
        read_checkpoint(tmp_path / name)


def test_first_protocols_are_recognised(tmp_path):
    path = tmp_path / 'edm.pkl'
    path.write_bytes(b'\x80\x02}U\x03emactorch_utils.persistence\n_reconstruct_persistent_obj\n(dtRs.')
    with pytest.raises(InputError, match='EDM/EDM2 network pickle'):
        read_checkpoint(path)


def test_other_files_are_not_looked_at_further(tmp_path):
    torch.save({'torch_utils.persistence._reconstruct_persistent_obj': torch.zeros(1)}, tmp_path / 'zip.pt')
    (tmp_path / 'other.pkl').write_bytes(pickle.dumps(dict(ema='torch_utils.persistence')))
    (tmp_path / 'empty.pt').write_bytes(b'')
    for name in ('zip.pt', 'other.pkl', 'empty.pt'):
        refuse_network_pickle(tmp_path / name)


@pytest.mark.parametrize(
    'command, arguments',
    [
        (sample, ['--model', str(PICKLE), '--out', 'x.png']),
        (sample, ['--model', 'digits', '--checkpoint', str(PICKLE), '--out', 'x.png']),
        (convert, [str(PICKLE), 'x.pt']),
        (convert, [str(PICKLE), 'x.pt', '--config', 'digits']),
    ],
)
def test_commands_say_what_the_file_is(tmp_path, monkeypatch, capsys, command, arguments):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        command(arguments)
    error = capsys.readouterr().err
    assert exit_.value.code == 2 and error.count('\n') == 1 and 'EDM/EDM2 network pickle' in error
    assert not list(tmp_path.iterdir())
