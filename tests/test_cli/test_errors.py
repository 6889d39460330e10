import logging
import os
import pkgutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from torch.utils.data import DataLoader, Dataset

from mmcm.cli.errors import command
from mmcm.cli.main import main as mmcm
from mmcm.utils.errors import InputError
from support.file_server import serving
from support.interrupted_training import PATIENCE


class Damaged(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        try:
            raise OSError('the decoder gave up')
        except OSError as error:
            raise InputError('a.jpg is damaged: remove it, or get it again.') from error


@pytest.mark.parametrize('workers', [0, 1])
def test_error_is_one_line_in_whatever_process_it_was_raised(workers, capsys):
    with pytest.raises(SystemExit, match='2'):
        command(lambda: list(DataLoader(Damaged(), num_workers=workers)))()
    assert capsys.readouterr().err == 'error: a.jpg is damaged: remove it, or get it again.\n'


@pytest.mark.parametrize('number, code', [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_a_command_with_one_line(number, code, capsys):
    @command
    def main():
        os.kill(os.getpid(), number)
        raise AssertionError('the signal came too late')

    with pytest.raises(SystemExit, match=str(code)):
        main()
    error = capsys.readouterr().err
    assert error.startswith('stopped by ') and signal.Signals(number).name in error and error.count('\n') == 1


def test_error_that_a_library_makes_of_an_interrupt_is_one(capsys):
    @command
    def main():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt as error:
            raise RuntimeError('something failed') from error

    with pytest.raises(SystemExit, match='143'):
        main()
    assert 'failed' not in capsys.readouterr().err


def test_full_disk_is_no_fault_of_the_program(capsys):
    @command
    def main():
        with open('/dev/full', 'w') as file:
            file.write('text')

    with pytest.raises(SystemExit, match='2'):
        main()
    assert 'cannot be written: No space left on device. Free some space.' in capsys.readouterr().err


DIGITS = 'cd_1xb32_digits-8x8'
NETWORK = 'mmcm.backbones.adm_unet.ADMUNet.forward'
RENAMING = 'pathlib.Path.replace'  # when a temporary file is there
GOES_ON = 'the same command goes on from there'
# Of each command: its arguments, where the signal comes, and what has to be said.
COMMANDS = {
    'test': ([DIGITS, '--num-samples', '20', '--work-dir', '{}/work', '--out', '{}/x.json'], NETWORK, ''),
    'search': ([DIGITS, '--num-samples', '20', '--work-dir', '{}/work'], NETWORK, GOES_ON),
    'export': (['--model', 'digits', '--out', '{}/x.pt2'], RENAMING, ''),
    'sample': (['--model', 'digits', '--out', '{}/x.npz'], NETWORK, GOES_ON),
    'edit': (['interpolate', '--model', 'digits', '--labels', '3', '--out', '{}/x.png'], NETWORK, ''),
    'convert': (['digits', '{}/x.safetensors'], RENAMING, ''),
    'statistics': ([DIGITS, '--out', '{}/x.npz'], RENAMING, ''),
    'analyze': (['seeds', '--row', 'digits', '--out', '{}/x.png'], RENAMING, ''),
    'pack': (
        ['DigitsDataset', '--out', '{}/x.npz', '--workers', '1'],
        'mmcm.apis.data.image_chunks.Chunks.__getitem__',
        'No image had been packed yet.',
    ),
    'train': (['edm_1xb32_digits-8x8', '--work-dir', '{}/work'], NETWORK, 'iter_1.pth is the last checkpoint'),
}


@pytest.mark.filterwarnings('ignore:.*has been created')
@pytest.mark.parametrize('name', COMMANDS)
def test_every_command_ends_with_one_line_and_leaves_nothing_half_written(name, tmp_path, capsys, monkeypatch):
    arguments, place, expected = COMMANDS[name]
    module, _, attribute = place.rpartition('.')
    owner = pkgutil.resolve_name(':'.join(module.rsplit('.', 1)))
    original, sent = getattr(owner, attribute), []

    def interrupted(*args, **kwargs):
        if not sent:
            sent.append(name)
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*args, **kwargs)

    monkeypatch.setenv('MMCM_HOME', str(tmp_path.parent / 'cache'))
    monkeypatch.setattr(logging, 'raiseExceptions', False)  # loggers of other tests write to what pytest has closed
    monkeypatch.setattr(owner, attribute, interrupted)
    with pytest.raises(SystemExit, match='143'):
        mmcm([name, *(argument.format(tmp_path) for argument in arguments)])
    assert sent
    *_, last = error = capsys.readouterr().err.splitlines()
    assert last.startswith('stopped by SIGTERM.') and expected in last and 'Traceback' not in '\n'.join(error)
    assert not [
        path
        for path in tmp_path.rglob('*')
        if path.name.startswith('.') or (path.name.startswith('x.') and path.suffix != '.parts')
    ], list(tmp_path.rglob('*'))


def test_pack_says_how_many_images_it_keeps(tmp_path, capsys, monkeypatch):
    from mmcm.apis.data import image_chunks

    original = image_chunks.Chunks.__getitem__

    def interrupted(chunks, index):
        if index == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return original(chunks, index)

    arguments = ['pack', 'DigitsDataset', '--out', str(tmp_path / 'x.npz'), '--workers', '1']
    monkeypatch.setattr(image_chunks.Chunks, '__getitem__', interrupted)
    with pytest.raises(SystemExit, match='130'):
        mmcm(arguments)
    assert f'512 images are packed: {GOES_ON}' in capsys.readouterr().err
    monkeypatch.undo()
    mmcm(arguments)
    assert '512 of them by an earlier run' in capsys.readouterr().out


def test_download_is_kept_where_it_was_interrupted(tmp_path, capsys):
    with serving() as server:
        server.pause = 0.05

        def interrupt():
            deadline = time.monotonic() + PATIENCE
            while not any(path.stat().st_size for path in tmp_path.rglob('*.part')) and time.monotonic() < deadline:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(SystemExit, match='143'):
            mmcm(['download', server.url, '--cache-dir', str(tmp_path)])
        thread.join()
        assert f'What has been fetched is kept: {GOES_ON}' in capsys.readouterr().err
        (part,) = tmp_path.rglob('*.part')
        arrived = part.stat().st_size
        server.pause = 0
        mmcm(['download', server.url, '--cache-dir', str(tmp_path)])
        assert server.asked[-1][1] == f'bytes={arrived}-'


@pytest.mark.parametrize('command', ['zoo', 'zoo --json', '--version', '--help'])
def test_command_whose_reader_has_ended_ends_quietly(command):
    with subprocess.Popen(
        [sys.executable, '-m', 'mmcm', *command.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()  # before anything is written
        assert process.stderr.read() == b''
    assert process.returncode == 141


def test_other_broken_pipes_are_not_hidden(capfd):
    @command
    def main():
        raise BrokenPipeError('of a worker')

    with pytest.raises(BrokenPipeError, match='of a worker'):
        main()


def test_control_characters_of_a_file_do_not_reach_the_terminal(capsys):
    @command
    def main():
        raise InputError('no name \x1b]0;title\x07\x1b[2J of a class')

    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err == 'error: no name \\x1b]0;title\\x07\\x1b[2J of a class\n'
