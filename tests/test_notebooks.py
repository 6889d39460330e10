"""Notebooks in `demo`: their code runs from top to bottom, as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.patience import PATIENCE

NOTEBOOKS = sorted((Path(__file__).parents[1] / 'demo').glob('*.ipynb'))


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == ['own_pictures']


def code_of(notebook):
    cells = json.loads(notebook.read_text(encoding='utf-8'))['cells']
    return ['\n'.join(map(str.rstrip, cell['source'])) for cell in cells if cell['cell_type'] == 'code']


@pytest.mark.parametrize('notebook', NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_without_outputs_and_its_code_compiles(notebook):
    content = json.loads(notebook.read_text(encoding='utf-8'))
    assert content['nbformat'] == 4
    assert not any(cell.get('outputs') or cell.get('execution_count') for cell in content['cells'])
    for code in code_of(notebook):
        compile(code, str(notebook), 'exec')


@pytest.mark.slow
@pytest.mark.parametrize('notebook', NOTEBOOKS, ids=lambda path: path.stem)
def test_code_of_the_notebook_runs(notebook, tmp_path):
    (tmp_path / 'cells.py').write_text('\n\n'.join(code_of(notebook)), encoding='utf-8')
    done = subprocess.run([sys.executable, 'cells.py'], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert 'Wrote 12 images' in done.stdout
    assert (tmp_path / 'own.png').exists()
