import subprocess
import sys

import pytest

from mmcm.cli.main import COMMANDS, main
from mmcm.version import __version__


def run(*args, module='mmcm'):
    return subprocess.run([sys.executable, '-m', module, *args], capture_output=True, text=True)


def test_help_lists_every_command(capsys):
    main([])
    listed = capsys.readouterr().out
    assert all(f'  {name} ' in listed for name in COMMANDS)
    main(['--version'])
    assert capsys.readouterr().out == f'{__version__}\n'
    assert '  --version   show the version' in listed


@pytest.mark.parametrize('name', COMMANDS)
def test_command_explains_itself_with_examples(name, capsys):
    with pytest.raises(SystemExit) as end:
        main([name, '--help'])
    told = capsys.readouterr().out
    assert end.value.code == 0 and told.startswith(f'usage: mmcm {name}')
    assert f'  mmcm {name} ' in told.split('examples:')[1]


def test_unknown_command_is_answered_with_the_nearest():
    process = run('sampel', '--model', 'digits')
    assert process.returncode == 2
    assert process.stderr == f"error: no command 'sampel', nearest: sample; there are {', '.join(COMMANDS)}\n"


def test_wrong_argument_is_one_line(capsys):
    with pytest.raises(SystemExit) as end:
        main(['train', 'some_config', '--speed', '9'])
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        'error: unrecognized arguments: --speed 9; mmcm train --help lists all arguments\n'
    )


@pytest.mark.parametrize('name', COMMANDS)
def test_help_does_not_wait_for_torch(name):
    code = (
        f'import sys; sys.argv = ["mmcm", "{name}", "--help"]\n'
        'from mmcm.cli.main import main\n'
        'try: main()\nexcept SystemExit: pass\n'
        'print({"torch", "mmengine.runner", "cv2"} & set(sys.modules))'
    )
    process = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert process.stdout.endswith('set()\n'), process.stdout + process.stderr
