"""No command replaces a file of the user's, unless `--force` says so."""

import pytest

from mmcm.cli.main import COMMANDS
from mmcm.cli.main import main as mmcm

DIGITS = 'cd_1xb32_digits-8x8'
# Of each command that writes what the user names: its arguments but for the output, and the suffix of that.
WRITING = {
    'analyze calls': (['scores.json', '--out'], '.png'),
    'analyze dataset': ([DIGITS, '--out'], '.png'),
    'analyze dataset with numbers': ([DIGITS, '--out', 'new.png', '--json'], '.json'),
    'analyze neighbours': (['x.npz', DIGITS, '--out'], '.png'),
    'analyze seeds': (['--row', 'digits', '--out'], '.png'),
    'average': (['run', '--sigma-rel', '0.05', '--out'], '.safetensors'),
    'config': ([DIGITS, '--out'], '.py'),
    'convert': (['digits', '--out'], '.safetensors'),
    'edit interpolate': (['--model', 'digits', '--out'], '.png'),
    'edit stroke': (['--model', 'digits', '--img', 'photo.png', '--out'], '.png'),
    'edit stroke with steps': (['--model', 'digits', '--img', 'photo.png', '--out', 'new', '--steps-out'], '.png'),
    'export': (['--model', 'digits', '--out'], '.onnx'),
    'new': (['images', '--out'], '.py'),
    'pack': (['DigitsDataset', '--out'], '.npz'),
    'publish': (['--model', 'run', '--out'], '.safetensors'),
    'reproduce': (['picture.png', '--out'], '.png'),
    'score-edits': (['--model', 'digits', '--out'], '.json'),
    'statistics': ([DIGITS, '--out'], '.npz'),
    'test': ([DIGITS, 'digits', '--work-dir', 'work', '--out'], '.json'),
}  # yapf: disable
ELSEWHERE = {'download', 'info', 'train', 'web', 'zoo'}  # their own folders, a cache, or nothing
SLOWER = {'sample', 'search', 'lsun'}  # tested with what they do


def test_each_command_is_tested():
    assert {name.split()[0] for name in WRITING} | ELSEWHERE | SLOWER == set(COMMANDS)


@pytest.mark.parametrize('name', WRITING)
def test_output_that_is_there_is_refused_before_anything_is_read_or_made(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, suffix = WRITING[name]
    mine = tmp_path / f'mine{suffix}'
    mine.write_text('of the user')
    with pytest.raises(SystemExit, match='2'):
        mmcm([*name.split(' with ')[0].split(), *arguments, mine.name])
    option = next(word for word in reversed(arguments) if word.startswith('--'))
    assert capsys.readouterr().err.splitlines()[-1] == (
        f'error: {mine.name} exists: give --force to replace it, or another {option}.'
    )
    assert list(tmp_path.iterdir()) == [mine] and mine.read_text() == 'of the user'


def test_force_replaces_and_says_what(tmp_path, capsys):
    out = tmp_path / 'x.safetensors'
    out.write_text('of the user')
    mmcm(['convert', 'digits', str(out), '--force'])
    assert f'Wrote {out}' in capsys.readouterr().out and out.stat().st_size > 1e6
