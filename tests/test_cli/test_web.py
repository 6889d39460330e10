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


@pytest.mark.parametrize('argv', [
    ['--port', '-1'], ['--port', '65536'], ['--port', 'x'], ['--queue', '0'], ['--max-upload-mb', '0'],
    ['--max-images', '-3'], ['--colour', 'red']])
def test_bad_arguments_are_one_line(capsys, argv):
    assert argv[0] in refusal(capsys, *argv)


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
    assert '--host' in refusal(capsys, '--host', '192.0.2.1', '--port', 0)
    assert "'digitz'" in refusal(capsys, '--model', 'digitz', '--port', 0)
    assert 'abacus' in refusal(capsys, '--device', 'abacus', '--port', 0)
    assert 'dtype' in refusal(capsys, '--dtype', 'int8', '--port', 0)
    config = tmp_path / 'c.py'
    config.write_text((ROOT / 'configs/digits/cd_1xb32_digits-8x8.py').read_text()
                      .replace("'../", f"'{ROOT}/configs/").replace("checkpoint = 'digits'", "checkpoint = 'gone.pt'"))
    assert 'gone.pt' in refusal(capsys, '--model', config, '--port', 0)


def test_help_waits_for_neither_torch_nor_gradio():
    code = ('import sys, mmcm.cli.web\ntry: mmcm.cli.web.main(["--help"])\nexcept SystemExit: pass\n'
            'print({"torch", "gradio", "mmengine"} & set(sys.modules))')
    process = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert process.stdout.endswith('set()\n'), process.stdout + process.stderr


def test_script_in_demo_is_the_same_command():
    argv = [sys.executable, 'demo/web_demo.py', '--port', 'x']
    process = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 2 and process.stderr.startswith('error: argument --port')
