"""The pages of the methods have the table that the metafiles make, commands that exist, and a citation."""

import importlib.util
import re
from pathlib import Path

import pytest

from mmcm.zoo import list_models, list_recipes, root

ROOT = Path(__file__).parents[2]


def load(script):
    spec = importlib.util.spec_from_file_location(script, ROOT / 'tools' / f'{script}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tables = load('update_model_tables')
PAGES = tables.pages()


def rows(page):
    """Return the cells of each row of a page's table."""
    text = tables.TABLE.search(page.read_text(encoding='utf-8'))[0]
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines()]


def test_every_method_has_its_pages():
    folders = {path.parent for path in (root() / 'configs').glob('[!_]*/metafile.yml')}
    # Whose tables are of other scores.
    small = {root() / 'configs' / name for name in ('digits', 'emoji', 'mnist', 'photo_patches')}
    assert set(PAGES) == {folder / name for folder in folders - small for name in ('README.md', 'README_zh-CN.md')}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: f'{page.parent.name}/{page.name}')
def test_table_is_what_the_metafile_makes_and_the_only_one(page):
    assert page.read_text(encoding='utf-8') == tables.updated(page)
    assert len(re.findall(r'^\|(?: :?-+:? \|)+$', page.read_text(encoding='utf-8'), re.MULTILINE)) == 1
    assert '```bibtex' in page.read_text(encoding='utf-8')


def test_table_has_every_entry_and_no_score_of_ours():
    pages = [page for page in PAGES if page.name == 'README.md']
    names = [model.config for model in (*list_models(), *list_recipes())]
    folders = {page.parent.name for page in pages}
    assert sum(len(rows(page)) - 2 for page in pages) == sum(Path(name).parent.name in folders for name in names)
    assert {row[rows(page)[0].index('FID here')] for page in pages for row in rows(page)[2:]} == {'not measured'}


def test_table_of_the_released_models_has_their_points_scores_and_addresses():
    page = root() / 'configs' / 'consistency_models' / 'README.md'
    found = {re.search(r'`(.+)`', row[-1])[1]: row for row in rows(page)[2:]}
    assert len(found) == 9
    row = found['ct_imagenet64']
    assert row[2:7] == ['0, 106 / 201', '296 M', '1 / 2', '13.0 / 11.1', 'not measured']
    assert 'multistep-64x64.py' in row[0] and row[-1].endswith('/consistency/ct_imagenet64.pt)')
    assert found['cd_cat256_l2'][5] == '-'


def test_table_marks_scores_of_another_network():
    page = root() / 'configs' / 'scm' / 'README.md'
    assert all(row[4].endswith(' *') for row in rows(page)[2:] if row[4] != '-')
    assert sum(row[4] != '-' for row in rows(page)[2:]) == 4


def test_methods_of_the_digits_follow_those_that_they_need(monkeypatch):
    digits = load('reproduce_digits')
    assert digits.in_order(['tcm', 'ct', 'cd']) == [['edm', 'ct'], ['ect', 'cd'], ['tcm']]
    assert digits.in_order(['ct']) == [['ct']]
    folder = Path('wd/seed1')
    assert digits.teacher_options('tcm', folder) == [f'model.init_from={folder / "ect"}']
    for method in digits.METHODS:
        config = digits.read_config(method)
        for option in digits.teacher_options(method, folder):
            place, _, needed = option.partition('=')
            found = config
            for key in place.split('.'):
                found = found[key]
            assert found == f'work_dirs/{Path(needed).name}_1xb32_digits-8x8'


def test_rows_of_other_methods_stay_in_a_table(tmp_path, monkeypatch):
    digits = load('reproduce_digits')
    page = tmp_path / 'page.md'
    page.write_text(
        '<!-- table begins -->\n| Method |\n| :-- |\n| `edm` | 1 |\n| `ct` | 2 |\n| `ct` | 3 |\n<!-- table ends -->'
    )
    monkeypatch.setattr(digits, 'RESULTS', page)
    found = digits.with_kept_rows('table', '| Head |\n| --: |\n| `sct` | 5 |\n| `ct` | 4 |')
    assert found.splitlines() == ['| Head |', '| --: |', '| `edm` | 1 |', '| `ct` | 4 |', '| `sct` | 5 |']


def test_scripts_find_the_places_of_the_tables_that_they_write(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'tools')  # one script imports the other
    digits, patches = load('reproduce_digits'), load('reproduce_photo_patches')
    places = [(digits.RESULTS, name) for name in ('table', 'judges', 'shipped')]
    places += [(patches.FOLDER / page, 'table') for page in patches.HEADS]
    for page, name in places:
        copy = tmp_path / page.name
        copy.write_bytes(page.read_bytes())
        digits.write_between(copy, name, 'new table')
        assert f'<!-- {name} begins -->\nnew table\n<!-- {name} ends -->' in copy.read_text(encoding='utf-8')
