import ast
import os
import re
import shlex
import subprocess
import sys
from ast import literal_eval
from importlib import import_module
from itertools import groupby
from pathlib import Path

import pytest

from mmcm import registry
from mmcm.cli.main import COMMANDS
from mmcm.config import read_config
from mmcm.registry import DATASETS, OBJECTIVES
from mmcm.utils.errors import InputError
from mmcm.zoo import find_config, list_models, list_recipes

ROOT = Path(__file__).parents[1]
PATTERNS = ('*.md', 'docs/*.md', 'docs/*/*.md', 'configs/*/*.md', 'benchmarks/*.md')
PAGES = sorted(page for pattern in PATTERNS for page in ROOT.glob(pattern))
# Besides how-tos; other translations are shorter.
COMPLETE_PAGES = ('configs', 'consistency_models', 'faq', 'install', 'methods', 'sampling')
README_WORDS = 900  # counted as `wc -w` does; longer text belongs in docs/


def read(page):
    return (ROOT / page).read_text(encoding='utf-8')


def anchors(page):
    """Return the anchors that GitHub gives to the headings of a page."""
    text = re.sub(r'^```.*?^```', '', page.read_text(encoding='utf-8'), flags=re.DOTALL | re.MULTILINE)
    headings = (heading.replace('`', '') for heading in re.findall(r'^#+ (.*)$', text, re.MULTILINE))
    return {re.sub(r'[^\w\- ]', '', heading.strip().lower()).replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_has_no_blanks_and_its_links_and_commands_lead_to_files(page):
    text = page.read_text(encoding='utf-8')
    assert not re.findall(r'@[A-Z]+@', text)
    assert 'mmcm[' not in text  # pip would look for it on an index
    links = [link.partition('#') for link in re.findall(r'\]\(([^)]+)\)', text) if not link.startswith('http')]
    files = re.findall(r'(?:configs|tools|demo|docs|requirements|benchmarks)/[\w/.-]+\.(?:py|md|txt|sh)', text)
    missing = [name for name, _, _ in links if name and not (page.parent / name).exists()]
    missing += [name for name in files if not (ROOT / name).exists() and not (page.parent / name).exists()]
    assert not missing
    targets = [(page.parent / name if name else page, anchor) for name, _, anchor in links if anchor]
    assert [(str(target), anchor) for target, anchor in targets if anchor not in anchors(target)] == []


def listed(index):
    """Return the pages that the lists (toctrees) of a page of the site name, as paths from the root."""
    lines = '\n'.join(re.findall(r'^```{toctree}\n(.*?)^```', read(index), re.DOTALL | re.MULTILINE)).splitlines()
    names = [line for line in lines if line and not line.startswith(':')]
    folder = (ROOT / index).parent
    paths = [ROOT / name[1:] if name.startswith('/') else folder / name for name in names]
    found = (match for path in paths for match in path.parent.parent.glob(f'{path.parent.name}/{path.name}.md'))
    deeper = (match for path in paths if '*' in path.parent.name for match in ROOT.glob(f'configs/*/{path.name}.md'))
    return {path.relative_to(ROOT).as_posix() for path in (*found, *deeper)}


def test_every_page_is_in_a_list_of_the_site():
    indices = ('docs/index.md', 'docs/index_zh-CN.md', 'docs/how_to/index.md', 'docs/how_to/index_zh-CN.md')
    sites = set().union(*map(listed, indices))
    made = {'docs/index.md', 'docs/index_zh-CN.md', 'docs/api.md'}
    pages = {page.relative_to(ROOT).as_posix() for page in PAGES}
    assert pages - sites - made == set()


def test_optional_pages_of_the_site_are_in_both_lists():
    assert '\nmethods\n' in read('docs/index.md') and '\nmethods_zh-CN\n' in read('docs/index_zh-CN.md')


@pytest.mark.parametrize('name', ['README.md', 'README_zh-CN.md'])
def test_readme_is_short_and_links_where_to_go_on(name):
    text = read(name)
    assert len(text.split()) <= README_WORDS
    suffix = '_zh-CN' if 'zh' in name else ''
    pages = ('index', 'get_started', 'own_pictures', 'troubleshooting', 'migration')
    assert [page for page in pages if f'](docs/{page}{suffix}.md)' not in text] == []


def test_page_of_data_sets_links_all_of_them_and_names_their_types():
    text = read('docs/datasets.md')
    pages = [f'datasets/{page.name}' for page in PAGES if page.parent.name == 'datasets']
    assert [page for page in pages if f']({page})' not in text] == []
    rows = re.findall(r'^\|[^|]+\|([^|]+)\|', text, re.MULTILINE)[2:]
    types = re.findall(r'`(\w+)`', ' '.join(rows))
    assert len(types) >= 10 and [name for name in types if DATASETS.get(name) is None] == []


def test_page_of_commands_lists_all_of_them():
    table = re.search('<!-- commands begin -->(.*)<!-- commands end -->', read('docs/commands.md'), re.DOTALL)[1]
    rows = [row.split('|')[1] for row in table.strip().splitlines()[2:]]
    assert sorted(re.findall(r'`([\w-]+)`', ' '.join(rows))) == sorted(COMMANDS)


def test_page_of_the_zoo_lists_all_models():
    table = read('docs/zoo.md').split('\n\n')[1]
    first_cells = [row.split('|')[1] for row in table.splitlines() if row.startswith('| `')]
    assert sorted(re.findall(r'`(\w+)`', ' '.join(first_cells))) == sorted(model.name for model in list_models())


def test_pages_come_in_both_languages():
    for page in PAGES:
        if page.name == 'README.md' and page.parent.name != 'benchmarks':
            assert (page.parent / 'README_zh-CN.md').exists(), page


CHINESE = [page for page in PAGES if page.name.endswith('_zh-CN.md') and page.parent.name in ('docs', 'how_to')]
TRANSLATED = [page for page in CHINESE if page.stem != 'index_zh-CN' or page.parent.name == 'how_to']


def english(page):
    return page.with_name(page.name.replace('_zh-CN', ''))


def code_blocks(page):
    """Return the Python and shell blocks of a page without comments."""
    blocks = re.findall(r'^```(?:python|shell|bash)\n(.*?)^```', read(page), re.DOTALL | re.MULTILINE)
    return [re.sub(r'\s*# .*$', '', code, flags=re.MULTILINE) for code in blocks]


@pytest.mark.parametrize('page', TRANSLATED, ids=lambda page: f'{page.parent.name}/{page.stem}')
def test_page_and_its_translation_link_each_other_and_have_the_same_code(page):
    assert f'[English]({english(page).name}) | 简体中文' in read(page)
    assert f'English | [简体中文]({page.name})' in read(english(page))
    assert code_blocks(page) == code_blocks(english(page))


COMPLETE = [page for page in TRANSLATED if page.parent.name == 'how_to' or page.stem[:-6] in COMPLETE_PAGES]


@pytest.mark.parametrize('page', COMPLETE, ids=lambda page: f'{page.parent.name}/{page.stem}')
def test_complete_translation_has_the_headings_tables_and_numbers_of_the_page(page):
    def structure(text):
        text = re.sub(r'^```.*?^```', '', text, flags=re.DOTALL | re.MULTILINE)
        return len(re.findall('^#+ ', text, re.MULTILINE)), re.findall(r'\d+\.\d+', text)

    headings, figures = structure(read(page))
    assert (headings, sorted(figures)) == (structure(read(english(page)))[0], sorted(structure(read(english(page)))[1]))


MODEL_PAGES = sorted((ROOT / 'configs').glob('*/README_zh-CN.md'))


@pytest.mark.parametrize('page', MODEL_PAGES, ids=lambda page: page.parent.name)
def test_page_of_a_method_has_the_same_commands_in_both_languages(page):
    def lines(page):
        return sorted(line for block in code_blocks(page) for line in block.splitlines())

    assert lines(page) == lines(english(page))


@pytest.mark.parametrize('name', ['diffusers', 'openai'])
def test_tables_of_migration_have_the_same_rows_in_both_languages(name):
    tables = [
        re.findall(r'^\| `(\w+)` \|([^|]*)\|', text.split(f'<!-- {name} begins -->')[1].split('<!-- ')[0], re.MULTILINE)
        for text in (read('docs/migration.md'), read('docs/migration_zh-CN.md'))
    ]
    assert tables[0] and tables[0] == tables[1]


@pytest.mark.parametrize('page', ['CONTRIBUTING.md', 'docs/architecture.md'])
def test_modules_that_developers_are_sent_to_exist(page):
    modules = re.findall(r'`((?:[a-z_]+/)+\w+\.py)`', read(page))
    assert modules
    assert [name for name in modules if not (ROOT / 'mmcm' / name).exists() and not (ROOT / name).exists()] == []


@pytest.mark.parametrize('page', ['CONTRIBUTING.md', 'docs/architecture.md', 'docs/security.md'])
def test_names_stand_in_the_modules_that_the_page_says(page):
    named = re.findall(r'((?:`\w+`, )*`\w+`) in `(?:mmcm/)?((?:\w+/)+\w+\.py)`', read(page))
    gone = [
        f'{name} in {module}'
        for names, module in named
        for name in re.findall(r'\w+', names)
        if not re.search(rf'^(?:def |class )?{name}\b', read(f'mmcm/{module}'), re.MULTILINE)
    ]
    assert named and not gone


def test_page_of_the_architecture_has_the_layers_in_order():
    table = read('docs/architecture.md').split('## Layers')[1].split('##')[0]
    described = re.findall(r'`(\w+)`', ' '.join(re.findall(r'^\| (`[^|]*) \|', table, re.MULTILINE)))
    floors = re.search(r'^FLOORS = (\[.*?\])', read('tests/test_architecture.py'), re.DOTALL | re.MULTILINE)[1]
    assert described == [name for name in reversed(literal_eval(floors)) if name != '__main__']


def commands(page):
    """Return (variables, arguments) of each `mmcm` in the shell blocks of a page."""
    blocks = re.findall(r'^```(?:sh|shell|bash)\n(.*?)^```', page.read_text(encoding='utf-8'), re.DOTALL | re.MULTILINE)
    lines = '\n'.join(blocks).replace('\\\n', ' ').splitlines()
    words = [shlex.split(line, comments=True) for line in lines if 'mmcm ' in line]
    parts = [list(part) for line in words for separator, part in groupby(line, '&&'.__eq__) if not separator]
    cuts = [(part, part.index('mmcm')) for part in parts if 'mmcm' in part]
    return [(dict(word.split('=', 1) for word in part[:at] if '=' in word), part[at + 1 :]) for part, at in cuts]


@pytest.mark.parametrize(
    'page', [page for page in PAGES if commands(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_commands_of_the_page_have_arguments_that_exist(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'password.txt').write_text('me:a long password')
    (tmp_path / 'password.txt').chmod(0o600)
    for variables, (name, *arguments) in commands(page):
        module = import_module(f'mmcm.cli.{name.replace("-", "_")}')
        with monkeypatch.context() as environment:
            for variable, value in variables.items():
                environment.setenv(variable, value)
            try:
                module.parse_args(arguments)
            except (SystemExit, InputError) as error:
                pytest.fail(f'mmcm {name} {shlex.join(arguments)}: {error}')


BLOCK = re.compile(
    r'(?:<!-- not run: (?P<reason>[^>]+) -->\n+)?^```python\n(?P<code>.*?)^```', re.DOTALL | re.MULTILINE
)
BLOCKS = [
    (page.relative_to(ROOT).as_posix(), *match.group('code', 'reason'))
    for page in PAGES
    for match in BLOCK.finditer(read(page))
]


def is_config(code):
    """Return whether a block only assigns settings."""
    return all(isinstance(node, ast.Assign) and not calls_other_than_dict(node) for node in ast.parse(code).body)


def calls_other_than_dict(node):
    calls = [each.func for each in ast.walk(node) if isinstance(each, ast.Call)]
    return [call for call in calls if ast.unparse(call) not in ('dict', '_base_.model.merge', '_base_.pop')]


def settings_of(code):
    """Return the values of the keys `type` in a config, and of `_base_`, as texts."""
    tree = ast.parse(code)
    words = [
        word for node in ast.walk(tree) if isinstance(node, ast.Call) for word in node.keywords if word.arg == 'type'
    ]
    types = [word.value.value for word in words if isinstance(word.value, ast.Constant)]
    bases = [node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == '_base_']
    return types, [each.value for base in bases for each in ast.walk(base) if isinstance(each, ast.Constant)]


CONFIGS = [
    (page, code) for page, code, _ in BLOCKS if is_config(re.sub(r'^_base_\.model.*$', '', code, flags=re.MULTILINE))
]
PROGRAMS = [(page, code, reason) for page, code, reason in BLOCKS if (page, code) not in CONFIGS]


def registered():
    """Return all names that configs may give as a `type`, those of classes on pages included."""
    registries = [value for value in vars(registry).values() if isinstance(value, registry.Registry)]
    registries += [each.parent for each in registries if each.parent is not None]
    own = re.findall(r'^class (\w+)', '\n'.join(code for _, code, _ in PROGRAMS), re.MULTILINE)
    for each in registries:
        each.import_from_location()
    import_module('mmengine.visualization')
    return {name for each in registries for name in each.module_dict} | set(own)


def test_types_and_bases_of_configs_on_pages_exist():
    known, files = registered(), {path.name for path in (ROOT / 'configs').rglob('*.py')}
    assert len(CONFIGS) > 20
    for page, code in CONFIGS:
        if page == 'docs/mmagic.md':  # whose types are MMagic's
            continue
        types, bases = settings_of(code)
        gone = [
            name for name in types if name.split('.')[-1] not in known and not name.startswith(('torch', 'mmagic.'))
        ]
        gone += [base for base in bases if base.startswith('mmcm::') and not (ROOT / 'configs' / base[6:]).is_file()]
        gone += [base for base in bases if Path(base).name not in files]
        assert gone == [], page


def test_programs_that_are_not_run_say_why():
    assert [page for page, _, reason in PROGRAMS if reason is not None and len(reason.split()) < 3] == []
    assert len([page for page, _, reason in PROGRAMS if reason is None]) > 12


RUN = dict.fromkeys(page for page, _, reason in PROGRAMS if reason is None)
SLOW = {'docs/editing.md': pytest.mark.slow}  # tiles of a photograph


@pytest.mark.parametrize('page', [pytest.param(page, marks=SLOW.get(page, ())) for page in RUN])
def test_programs_of_the_page_run_in_order(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    namespace = {'__name__': '__main__'}
    try:
        for code in (code for of, code, reason in PROGRAMS if of == page and reason is None):
            exec(compile(code, page, 'exec'), namespace)
    finally:  # classes on pages are registered for this test alone
        for each in (each for each in vars(registry).values() if isinstance(each, registry.Registry)):
            for name in [name for name, kind in each.module_dict.items() if kind.__module__ == '__main__']:
                each.module_dict.pop(name)


@pytest.mark.slow
@pytest.mark.parametrize('page', ['docs/get_started.md', 'docs/get_started_zh-CN.md'])
def test_commands_of_the_first_hour_run(page, monkeypatch, tmp_path):
    """All but `mmcm web`, which waits for visitors; the training has two iterations."""
    monkeypatch.chdir(tmp_path)
    few = ['train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'default_hooks.logger.interval=1']
    ran = []
    for _, (name, *arguments) in commands(ROOT / page):
        if name != 'web':
            more = ['--cfg-options', *few, 'val_dataloader.dataset.num_samples=20'] if name == 'train' else []
            more += ['--cfg-options', 'test_dataloader.dataset.num_samples=100'] if name == 'test' else []
            import_module(f'mmcm.cli.{name}').main([*arguments, *more])
            ran.append(name)
    assert ran[:3] == ['sample', 'sample', 'reproduce'] and 'train' in ran and (tmp_path / 'own.png').is_file()


@pytest.mark.slow
def test_own_components_train_together(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for page in sorted((ROOT / 'docs' / 'how_to').glob('*.md')):
        code = BLOCK.search(read(page))['code']
        (tmp_path / re.match(r'# (\S+)', code)[1]).write_text(code)
    for _, arguments in commands(ROOT / 'docs' / 'how_to' / 'index.md'):
        environment = {**os.environ, 'PYTHONPATH': f'{ROOT}{os.pathsep}.'}
        done = subprocess.run(
            [sys.executable, '-m', 'mmcm', *arguments], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / 'own.png').is_file()


@pytest.mark.parametrize('page', ['README.md', 'README_zh-CN.md', 'docs/sampling.md'])
def test_first_python_of_the_page_writes_its_image(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    exec(compile(read(page).split('```python\n')[1].split('```')[0], page, 'exec'), {})
    assert (tmp_path / 'digits.png').is_file()


def sections_of_methods():
    """Return the text of each section of the page on methods, by its heading."""
    text = read('docs/methods.md')
    sections = dict(re.findall(r'^## ([^\n]*)\n(.*?)(?=^## |\Z)', text, re.DOTALL | re.MULTILINE))
    return {name: section for name, section in sections.items() if name != 'Which method'}


def numbers(text):
    return set(map(float, re.findall(r'\d+\.\d+', text)))


def test_page_of_methods_has_a_section_for_each_objective():
    used = set()
    for name, section in sections_of_methods().items():
        configs = re.findall(r'`([\w-]+_\d+xb\d+_[\w-]+)`', section)
        assert configs, name
        for config in configs:
            used.add(read_config(find_config(config)).model.objective.type)
    OBJECTIVES.import_from_location()
    ours = {key for key, kind in OBJECTIVES.module_dict.items() if kind.__module__.startswith('mmcm.')}
    assert used == ours


@pytest.mark.parametrize('name', sections_of_methods())
def test_scores_of_the_page_of_methods_are_those_of_the_tables(name):
    section = sections_of_methods()[name]
    configs = re.findall(r'`([\w-]+_\d+xb\d+_[\w-]+)`', section)
    recipes = {Path(model.config).stem: model for model in (*list_models(), *list_recipes())}
    listed = [recipes[config] for config in configs if config in recipes]
    published = [result['Metrics'].get('FID') for recipe in listed for result in recipe.results]
    assert [score for score in published if score is not None and float(score) not in numbers(section)] == []
    method = next(config for config in configs if 'digits' in config).split('_')[0]
    rows = re.findall(rf'^\| `{method}` \| (\d+) \| ([\d.]+) ', read('docs/results_digits.md'), re.MULTILINE)
    here = section.split('Here:')[1]
    if not rows:
        assert here.split() == ['not', 'measured.']
    for nfe, score in rows[:2]:
        assert f'{score} ({nfe})' in here.replace('\n', ' ')
