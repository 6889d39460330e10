import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from mmcm.cli.web import main, parse_args

ROOT = Path(__file__).parents[2]


def refusal(capsys, *argv):
    """Run the command on bad input, and return the line that it ends with."""
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in argv])
    assert exit_.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == '' and captured.err.startswith('error: ') and captured.err.count('\n') == 1
    return captured.err


def test_this_machine_alone_is_the_default():
    args = parse_args([])
    assert args.host == '127.0.0.1' and args.model == [] and args.max_upload_mb == 40


def test_models_are_named_together_or_one_by_one():
    assert parse_args(['--model', 'a', 'b', '--model', 'c']).model == ['a', 'b', 'c']


@pytest.mark.parametrize(
    'argv',
    [
        ['--port', '-1'],
        ['--port', '65536'],
        ['--port', 'x'],
        ['--queue', '0'],
        ['--max-upload-mb', '0'],
        ['--max-images', '-3'],
        ['--colour', 'red'],
    ],
)
def test_bad_arguments_are_one_line(capsys, argv):
    assert argv[0] in refusal(capsys, *argv)


@pytest.mark.parametrize('host', ['0.0.0.0', '::', '192.0.2.1', 'demo.example.org'])
def test_open_host_needs_a_password_or_a_word_that_it_has_none(capsys, tmp_path, host):
    assert '--auth-file' in refusal(capsys, '--host', host) and '--no-auth' in refusal(capsys, '--host', host)
    assert parse_args(['--host', host, '--no-auth']).secret is None
    (tmp_path / 'password').write_text('me:correct horse\n')
    assert parse_args(['--host', host, '--auth-file', str(tmp_path / 'password')]).secret == 'me:correct horse'


@pytest.mark.parametrize('host', ['127.0.0.1', '127.0.0.9', '::1', 'localhost'])
def test_this_machine_alone_needs_no_password(host):
    assert parse_args(['--host', host]).secret is None


def test_password_comes_from_an_argument_a_file_or_the_environment(capsys, monkeypatch):
    assert parse_args(['--auth', 'me:12345678']).secret == 'me:12345678'
    monkeypatch.setenv('MMCM_WEB_AUTH', 'you:87654321')
    assert parse_args([]).secret == 'you:87654321'
    assert parse_args(['--auth', 'me:12345678']).secret == 'me:12345678'
    assert parse_args(['--no-auth']).secret is None
    assert 'not allowed with' in refusal(capsys, '--auth', 'me:12345678', '--no-auth')


@pytest.mark.parametrize('secret', ['me', 'me:', 'me:short', ':12345678', ''])
def test_bad_password_is_told_and_not_repeated(capsys, tmp_path, monkeypatch, secret):
    (tmp_path / 'password').write_text(secret)
    monkeypatch.setenv('MMCM_WEB_AUTH', secret)
    for argv in (['--auth', secret], ['--auth-file', tmp_path / 'password'], []):
        line = refusal(capsys, *argv)
        assert 'has to be USER:PASSWORD' in line and 'short' not in line
    assert 'cannot be read: No such file' in refusal(capsys, '--auth-file', tmp_path / 'none')


def test_checkpoint_is_for_one_model(capsys):
    assert parse_args(['--model', 'own.py', '--checkpoint', 'run']).checkpoint == 'run'
    assert '--checkpoint is for one model' in refusal(capsys, '--checkpoint', 'run')
    assert '--checkpoint is for one model' in refusal(capsys, '--model', 'a', 'b', '--checkpoint', 'run')


@pytest.mark.skipif(find_spec('gradio') is None, reason='Gradio is not installed')
@pytest.mark.parametrize('name', ['*', 'http://demo.example.org', 'a b', 'demo.example.org:x', ''])
def test_allowed_host_has_to_be_a_name(capsys, name):
    assert '--allowed-host' in refusal(capsys, '--port', 0, '--allowed-host', name)


def test_missing_gradio_is_told_with_its_cure(capsys, monkeypatch):
    monkeypatch.setattr('mmcm.web.server.find_spec', lambda name: None)
    assert 'pip install -e ".[web]"' in refusal(capsys)


@pytest.mark.skipif(find_spec('gradio') is None, reason='Gradio is not installed')
def test_what_cannot_be_served_is_told_before_anything_is_served(capsys, tmp_path):
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f'port {port}: ' in refusal(capsys, '--port', port)
    assert 'no address of this machine' in refusal(capsys, '--host', 'no.such.invalid', '--port', 0, '--no-auth')
    assert '--host' in refusal(capsys, '--host', '192.0.2.1', '--port', 0, '--no-auth')
    assert "'digitz'" in refusal(capsys, '--model', 'digitz', '--port', 0)
    assert 'abacus' in refusal(capsys, '--device', 'abacus', '--port', 0)
    assert 'dtype' in refusal(capsys, '--dtype', 'int8', '--port', 0)
    config = tmp_path / 'c.py'
    config.write_text(
        (ROOT / 'configs/digits/cd_1xb32_digits-8x8.py')
        .read_text()
        .replace("'../", f"'{ROOT}/configs/")
        .replace("checkpoint = 'digits'", "checkpoint = 'gone.pt'")
    )
    assert 'gone.pt' in refusal(capsys, '--model', config, '--port', 0)


def test_help_waits_for_neither_torch_nor_gradio():
    code = (
        'import sys, mmcm.cli.web\ntry: mmcm.cli.web.main(["--help"])\nexcept SystemExit: pass\n'
        'print({"torch", "gradio", "mmengine"} & set(sys.modules))'
    )
    process = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert process.stdout.endswith('set()\n'), process.stdout + process.stderr


def test_script_in_demo_is_the_same_command():
    argv = [sys.executable, 'demo/web_demo.py', '--port', 'x']
    process = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 2 and process.stderr.startswith('error: argument --port')
