import re
from pathlib import Path

import pytest

from mmcm.cli.main import COMMANDS
from mmcm.zoo import list_models

ROOT = Path(__file__).parents[1]
PATTERNS = ('*.md', 'docs/*.md', 'docs/datasets/*.md', 'configs/*/*.md', 'benchmarks/*.md')
PAGES = sorted(page for pattern in PATTERNS for page in ROOT.glob(pattern))


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_has_no_blanks_and_its_links_and_commands_lead_to_files(page):
    text = page.read_text(encoding='utf-8')
    assert not re.findall(r'@[A-Z]+@', text)
    assert 'mmcm[' not in text  # pip would look for it on an index
    links = [link.split('#')[0] for link in re.findall(r'\]\(([^)]+)\)', text) if not link.startswith('http')]
    files = re.findall(r'(?:configs|tools|demo|docs|requirements|benchmarks)/[\w/.-]+\.(?:py|md|txt|sh)', text)
    missing = [name for name in links if name and not (page.parent / name).exists()]
    missing += [name for name in files if not (ROOT / name).exists() and not (page.parent / name).exists()]
    assert not missing


@pytest.mark.parametrize('name', ['README.md', 'README_zh-CN.md'])
def test_both_readmes_list_all_commands_and_link_all_pages(name):
    text = (ROOT / name).read_text(encoding='utf-8')
    table = re.search('<!-- commands begin -->(.*)<!-- commands end -->', text, re.DOTALL)[1]
    rows = [row.split('|')[1] for row in table.strip().splitlines()[2:]]
    assert sorted(re.findall(r'`([\w-]+)`', ' '.join(rows))) == sorted(COMMANDS)
    pages = [str(page.relative_to(ROOT)) for page in PAGES if page.is_relative_to(ROOT / 'docs')]
    assert [page for page in pages if f']({page}' not in text] == []


@pytest.mark.parametrize('name, title', [('README.md', 'Model zoo'), ('README_zh-CN.md', '模型库')])
def test_both_readmes_list_all_models(name, title):
    text = (ROOT / name).read_text(encoding='utf-8')
    section = re.search(f'^## {title}$(.*?)^## ', text, re.DOTALL | re.MULTILINE)[1]
    first_cells = [row.split('|')[1] for row in section.splitlines() if row.startswith('| `')]
    assert sorted(re.findall(r'`(\w+)`', ' '.join(first_cells))) == sorted(model.name for model in list_models())


def test_pages_come_in_both_languages():
    for page in PAGES:
        if page.name == 'README.md' and page.parent.name != 'benchmarks':
            assert (page.parent / 'README_zh-CN.md').exists(), page
