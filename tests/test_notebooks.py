"""Notebooks in `demo`: their code runs from top to bottom, and each cell shows its last value, as for a user."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from support.patience import PATIENCE

NOTEBOOKS = sorted((Path(__file__).parents[1] / 'demo').glob('*.ipynb'))
SHOW = '''
def show(number, value):
    """Keep what a notebook shows of the last value of a cell: its picture, or else its text."""
    if hasattr(value, '_repr_png_'):
        with open(f'cell-{number}.png', 'wb') as file:
            file.write(value._repr_png_())
    elif value is not None:
        print(repr(value))
'''


def code_of(notebook):
    cells = json.loads(notebook.read_text(encoding='utf-8'))['cells']
    return ['\n'.join(map(str.rstrip, cell['source'])) for cell in cells if cell['cell_type'] == 'code']


def showing(number, code):
    """Return the code of a cell that shows its last value."""
    tree = ast.parse(code)
    if isinstance(tree.body[-1], ast.Expr):
        tree.body[-1].value = ast.Call(ast.Name('show'), [ast.Constant(number), tree.body[-1].value], [])
    return ast.unparse(ast.fix_missing_locations(tree))


def run(notebook, folder):
    """Run the cells of a notebook in a folder; return what they print, and the pictures that they show, by cell."""
    cells = [showing(number, code) for number, code in enumerate(code_of(notebook))]
    (folder / 'cells.py').write_text('\n\n'.join([SHOW, *cells]), encoding='utf-8')
    done = subprocess.run([sys.executable, 'cells.py'], cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    shown = sorted(folder.glob('cell-*.png'), key=lambda path: int(path.stem.split('-')[1]))
    return done.stdout, {int(path.stem.split('-')[1]): Image.open(path).convert('RGB') for path in shown}


def notebook(name):
    return next(path for path in NOTEBOOKS if path.stem == name)


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == ['consistency_models_tutorial', 'own_pictures']


@pytest.mark.parametrize('notebook', NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_without_outputs_and_its_code_compiles(notebook):
    content = json.loads(notebook.read_text(encoding='utf-8'))
    assert content['nbformat'] == 4
    assert not any(cell.get('outputs') or cell.get('execution_count') for cell in content['cells'])
    for code in code_of(notebook):
        compile(code, str(notebook), 'exec')


@pytest.mark.slow
def test_notebook_on_own_pictures_trains_and_shows_samples(tmp_path):
    printed, shown = run(notebook('own_pictures'), tmp_path)
    assert 'Wrote 12 images' in printed
    assert (tmp_path / 'own.png').exists() and len(shown) == 1


@pytest.mark.slow
def test_tutorial_shows_the_picture_of_each_section(tmp_path):
    printed, shown = run(notebook('consistency_models_tutorial'), tmp_path)
    assert 'same seed: True\nother seed: False' in printed
    assert 'diffusion: 35 evaluations' in printed and 'consistency: 1 evaluations' in printed
    assert 'no null class' in printed and 'byte for byte' in printed
    assert len(shown) == 10  # samples, steps, trajectory, both models, interpolation; four edits, one also by steps
    sizes_and_colours = [(min(image.size), len(image.getcolors(1 << 24))) for image in shown.values()]
    assert [pair for pair in sizes_and_colours if pair[0] < 50 or pair[1] < 20] == []
