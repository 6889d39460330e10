import subprocess
import sys

import pytest

from mmcm.cli import new
from support.own_pictures import write_icons


def fails(capsys, *arguments):
    with pytest.raises(SystemExit):
        new.main([*map(str, arguments)])
    return capsys.readouterr().err


def test_help_does_not_wait_for_torch():
    code = (
        'import sys; from mmcm.cli.new import main\n'
        'try: main(["--help"])\n'
        'finally: print({"torch", "mmengine", "cv2"} & set(sys.modules))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert '--budget' in done.stdout and done.stdout.endswith('set()\n')


def test_output_is_a_config_that_does_not_exist(capsys, tmp_path):
    folder = write_icons(tmp_path / 'icons', 3, 8)
    assert 'has to end in .py' in fails(capsys, folder, '--out', tmp_path / 'x.npz')
    (tmp_path / 'own_edm.py').touch()
    assert 'own_edm.py exists: give --force' in fails(capsys, folder, '--out', tmp_path / 'own.py')
    assert not (tmp_path / 'own.py').exists()


def test_missing_source_and_wrong_budget_leave_no_files(capsys, tmp_path):
    assert 'no data set' in fails(capsys, tmp_path / 'none', '--out', tmp_path / 'own.py')
    folder = write_icons(tmp_path / 'icons', 3, 8)
    assert "such as '30m'" in fails(capsys, folder, '--budget', 'soon', '--out', tmp_path / 'own.py')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['icons']


@pytest.mark.parametrize(('text', 'size'), [('64', 64), ('64x96', (64, 96)), ('64,96', (64, 96))])
def test_size_is_a_side_or_two(text, size):
    assert new.parse_args(['x', '--out', 'own.py', '--size', text]).size == size


def test_method_that_is_not_there_is_refused(capsys):
    assert 'invalid choice' in fails(capsys, 'x', '--out', 'own.py', '--method', 'meanflow')
