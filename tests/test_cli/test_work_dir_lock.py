import subprocess
import sys

import pytest

from mmcm.cli.train import main
from mmcm.cli.work_dir_lock import one_run_in
from mmcm.utils.errors import InputError


def test_second_training_in_a_work_directory_is_refused_in_one_line(tmp_path, capsys):
    code = ('import sys\nfrom mmcm.cli.work_dir_lock import one_run_in\n'
            'with one_run_in(sys.argv[1]): print("held", flush=True), sys.stdin.read()')
    command = [sys.executable, '-c', code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        first.stdout.readline()
        with pytest.raises(SystemExit, match='2'):
            main(['edm_1xb32_digits-8x8', '--work-dir', str(tmp_path)])
        first.stdin.close()
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f'error: {tmp_path} is being trained by process {first.pid} on ')
    assert list(tmp_path.iterdir()) == []  # no log, no checkpoint, no lock


def test_other_processes_of_a_run_share_its_work_directory(tmp_path, monkeypatch):
    with one_run_in(str(tmp_path)):
        with pytest.raises(InputError, match='is being trained by'), one_run_in(str(tmp_path)):
            pytest.fail('two trainings')
        monkeypatch.setenv('RANK', '1')
        with one_run_in(str(tmp_path)):
            pass
