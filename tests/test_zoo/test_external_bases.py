"""Configs that inherit from ours, read by our commands and by MMEngine, from a checkout and from installations."""

import gc
import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from mmcm.config import read_config
from mmcm.utils.errors import InputError

ROOT = Path(__file__).parents[2]
BASES = ['mmcm::digits/ct_1xb32_digits-8x8.py', 'mmcm::digits/ct_1xb32_digits-8x8', 'mmcm::ct_1xb32_digits-8x8']
# MMEngine leaves a temporary file open where a config cannot be read.
LEFT_OPEN = pytest.mark.filterwarnings('ignore::ResourceWarning')
READ = 'import mmcm.registry; from mmengine.config import Config; print(Config.fromfile("own.py").model.type)'


def write(folder, base):
    (folder / 'own.py').write_text(f'_base_ = {base!r}\ntrain_cfg = dict(max_iters=2)\n')
    return folder / 'own.py'


def run(folder, code, python=sys.executable, **variables):
    environment = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    return subprocess.run(
        [str(python), '-c', code], cwd=folder, capture_output=True, text=True, env={**environment, **variables}
    )


@pytest.mark.parametrize('base', BASES)
def test_config_inherits_from_ours(tmp_path, base):
    path = write(tmp_path, base)
    expected = read_config('ct_1xb32_digits-8x8')
    config = read_config(path).to_dict()
    assert config == {**expected.to_dict(), 'train_cfg': {**expected.train_cfg, 'max_iters': 2}}
    assert Config.fromfile(path).model == {**expected.model, '_scope_': 'mmcm'}  # for other default scopes


def test_parts_of_ours_are_bases_too(tmp_path):
    path = write(tmp_path, ['mmcm::_base_/default_runtime.py', 'mmcm::_base_/models/adm_digits-8x8.py'])
    assert read_config(path).default_scope == 'mmcm'


def test_recipe_of_a_user_is_put_together_from_parts_of_ours(tmp_path):
    parts = ('models/adm_digits-8x8', 'datasets/digits_8x8', 'objectives/cd_minutes', 'schedules/digits')
    (tmp_path / 'own.py').write_text(
        f"""_base_ = {[f'mmcm::_base_/{part}.py' for part in parts]!r}
_base_.model.merge(_base_.pop('method'))
model = dict(teacher=dict(checkpoint='work_dirs/edm_1xb32_digits-8x8'))
"""
    )
    assert read_config(tmp_path / 'own.py').model == read_config('cd_1xb32_digits-8x8').model


@LEFT_OPEN
def test_other_bases_are_mmengines(tmp_path):
    (tmp_path / 'base.py').write_text('a = 1\n')
    assert read_config(write(tmp_path, './base.py')).a == 1
    with pytest.raises(InputError, match='nobody'):
        read_config(write(tmp_path, 'nobody::digits/a.py'))
    gc.collect()


@LEFT_OPEN
def test_base_that_is_none_of_ours_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(InputError) as error:
        read_config(write(tmp_path, 'mmcm::digits/ct_1xb32_digits-8x9.py'))
    assert "_base_ 'mmcm::digits/ct_1xb32_digits-8x9.py'" in str(error.value)
    assert 'nearest: ct_1xb32_digits-8x8' in str(error.value) and 'only has settings' not in str(error.value)
    del error
    gc.collect()


def test_process_elsewhere_reads_it_from_a_checkout(tmp_path):
    write(tmp_path, BASES[0])
    result = run(tmp_path, READ, PYTHONPATH=str(ROOT))
    assert result.stdout == 'ConsistencyModel\n', result.stderr


def test_training_elsewhere_reads_it_from_a_checkout(tmp_path):
    path = write(tmp_path, BASES[0])
    path.write_text(path.read_text() + 'train_dataloader = dict(batch_size=2000)\n')  # which is refused after reading
    code = 'import sys; from mmcm.cli.train import main; sys.argv[1:] = ["own.py"]; main()'
    result = run(tmp_path, code, PYTHONPATH=str(ROOT))
    assert result.returncode == 2 and 'fewer than one batch of 2000' in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize('editable', [True, False], ids=['editable', 'wheel'])
def test_process_elsewhere_reads_it_from_an_installation(tmp_path, editable):
    source, venv = tmp_path / 'source', tmp_path / 'venv'
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns('.*', 'work_dirs', 'tests'))
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', venv], check=True)
    (packages,) = (venv / 'lib').glob('python*/site-packages')
    # What mmcm needs comes from this environment, whose own mmcm is not among it: it is installed by a .pth file.
    (packages / 'needed.pth').write_text('\n'.join(site.getsitepackages()) + '\n')
    subprocess.run(
        [
            sys.executable,
            '-m',
            'pip',
            '--python',
            venv / 'bin' / 'python',
            'install',
            '--quiet',
            '--no-deps',
            '--no-index',
            '--no-build-isolation',
            *(['-e'] if editable else ['--force-reinstall']),
            source,
        ],
        check=True,
        capture_output=True,
    )
    folder = tmp_path / 'elsewhere'
    folder.mkdir()
    write(folder, BASES[0])
    where = run(folder, 'import mmcm; print(mmcm.__file__)', venv / 'bin' / 'python').stdout
    assert where.startswith(str(source if editable else packages))
    result = run(folder, READ, venv / 'bin' / 'python')
    assert result.stdout == 'ConsistencyModel\n', result.stderr
