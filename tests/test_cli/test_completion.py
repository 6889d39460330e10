import os
import subprocess
import sys

import pytest

pytest.importorskip('argcomplete', reason='the extra "completion" is not installed')


def completions(line, tmp_path):
    """Return what the shell would offer for a command line that is typed so far."""
    answer = tmp_path / 'answer'
    asked = dict(
        _ARGCOMPLETE='1',
        COMP_LINE=line,
        COMP_POINT=str(len(line)),
        _ARGCOMPLETE_IFS='\n',
        _ARGCOMPLETE_STDOUT_FILENAME=str(answer),
    )
    subprocess.run(
        [sys.executable, '-c', 'from mmcm.cli.main import main; main()'],
        env={**os.environ, **asked},
        check=True,
        cwd=tmp_path,
    )
    return answer.read_text().split()


@pytest.mark.parametrize(
    'line, expected',
    [
        ('mmcm sa', ['sample']),
        ('mmcm sample --mod', ['--model']),
        ('mmcm sample --model edm_dig', ['edm_digits']),
        ('mmcm edit inpaint --model edm_dig', ['edm_digits']),
        ('mmcm train cd_1xb32_dig', ['cd_1xb32_digits-8x8']),
        ('mmcm test --num', ['--num-images']),  # and not the deprecated --num-samples
    ],
)
def test_shell_completes(line, expected, tmp_path):
    assert completions(line, tmp_path) == expected


def test_shell_completes_files_beside_names(tmp_path):
    (tmp_path / 'digits_of_mine.safetensors').touch()
    assert completions('mmcm sample --model dig', tmp_path) == ['digits', 'digits_of_mine.safetensors']
