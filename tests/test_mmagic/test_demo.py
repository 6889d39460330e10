"""The demo goes through MMagic where it is installed, and draws what it draws elsewhere."""

import subprocess
import sys
from pathlib import Path

import pytest

from mmcm.cli import demo
from support.pictures import pixels

ROOT = Path(__file__).parents[2]
ARGUMENTS = ['--model-config', 'configs/digits/cd_1xb32_digits-8x8.py', '--label', '3', '1', '4', '--device', 'cpu']


def test_pictures_are_the_same_without_mmagic(tmp_path, monkeypatch, capsys):
    more = ['--extra-parameters', 'num_images=7', 'columns=3', 'indices=0,6', 'num_scales=18', 'batch_size=4']
    demo.main([*ARGUMENTS, '--result-out-dir', str(tmp_path / 'with.png'), *more])
    demo.main([*ARGUMENTS, '--result-out-dir', str(tmp_path / 'with'), *more])
    assert capsys.readouterr().out.count(', 2 network evaluations per image, through MMagic 1.2.0: ') == 2
    monkeypatch.setattr(demo, 'find_mmagic', lambda: None)
    demo.main([*ARGUMENTS, '--result-out-dir', str(tmp_path / 'without.png'), *more])
    demo.main([*ARGUMENTS, '--result-out-dir', str(tmp_path / 'without'), *more])
    assert 'MMagic' not in capsys.readouterr().out
    # MMagic writes its files itself, without a record.
    assert pixels(tmp_path / 'with.png') == pixels(tmp_path / 'without.png')
    names = sorted(path.name for path in (tmp_path / 'with').iterdir())
    assert len(names) == 7 and names == sorted(path.name for path in (tmp_path / 'without').iterdir())
    assert all(pixels(tmp_path / 'with' / name) == pixels(tmp_path / 'without' / name) for name in names)


def test_script_is_quiet_and_says_what_drew(tmp_path):
    result = subprocess.run(
        [
            sys.executable,
            ROOT / 'demo' / 'mmagic_inference_demo.py',
            *ARGUMENTS,
            '--result-out-dir',
            tmp_path / 'x.png',
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0 and result.stderr == ''
    assert result.stdout.startswith('Generated 3 images with digits') and 'through MMagic 1.2.0' in result.stdout
    assert result.stdout.count('\n') == 1 and (tmp_path / 'x.png').is_file()


def test_wrong_label_ends_with_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        demo.main([*ARGUMENTS[:3], '10', '--result-out-dir', str(tmp_path / 'x.png')])
    assert exit_.value.code == 2 and 'label 10' in capsys.readouterr().err
