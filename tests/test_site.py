"""The script that builds the site; `make docs` runs Sphinx itself."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope='module')
def script():
    spec = importlib.util.spec_from_file_location('build_site', ROOT / 'docs' / 'build_site.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(folder, **pages):
    for name, body in pages.items():
        (folder / f'{name}.html').write_text(f'<html><body>{body}</body></html>')


def test_links_of_a_whole_site_are_found_alive(script, tmp_path):
    write(tmp_path, index='<a href="a.html#there">a</a> <a href="https://example.org/x">x</a>', a='<p id="there">')
    assert script.check_links(tmp_path, 'index.html') == []


def test_dead_links_anchors_and_orphans_are_reported(script, tmp_path):
    write(tmp_path, index='<a href="a.html#gone">a</a><img src="none.png">', a='', alone='<a href="index.html">')
    assert sorted(script.check_links(tmp_path, 'index.html')) == [
        'alone.html: no link leads to it',
        'index.html: a.html#gone has no such anchor',
        'index.html: none.png is missing',
    ]


def test_pages_are_staged_with_what_they_link_and_leftovers_go(script, tmp_path):
    (tmp_path / 'docs').mkdir()
    (tmp_path / 'docs' / 'gone.md').write_text('a page of an earlier build')
    pages = script.stage(tmp_path)
    assert 'docs/index.md' in pages and 'configs/digits/README.md' in pages and 'docs/api.md' not in pages
    assert (tmp_path / 'docs' / 'images' / 'mnist.png').is_file() and (
        tmp_path / 'demo' / 'own_pictures.ipynb'
    ).is_file()
    assert not (tmp_path / 'docs' / 'gone.md').exists()


def test_reference_has_a_page_for_each_folder_of_the_package(script, tmp_path):
    (tmp_path / 'docs').mkdir()
    script.write_reference(tmp_path)
    written = {path.stem for path in (tmp_path / 'docs' / 'api').glob('*.rst')}
    folders = {f'mmcm.{path.parent.name}' for path in (ROOT / 'mmcm').glob('*/__init__.py')}
    assert folders <= written
    assert '.. automodule:: mmcm.samplers.heun' in (tmp_path / 'docs' / 'api' / 'mmcm.samplers.rst').read_text()
    assert 'mmcm.samplers' in (tmp_path / 'docs' / 'api' / 'index.md').read_text()
