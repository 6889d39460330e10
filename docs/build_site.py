#!/usr/bin/env python
"""Build the site, `make docs`: stage the pages, run Sphinx for each language, check all links and look for orphans.

Pages keep their place in the repository, so that their links work on GitHub, too: what they link is copied beside them
into `build/site/source`. The site is `build/site/html/{en,zh_CN}`. Nothing is fetched.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
PAGES = ('docs/*.md', 'docs/datasets/*.md', 'docs/how_to/*.md', 'configs/*/*.md', 'benchmarks/*.md', 'CONTRIBUTING.md')
PAGES += ('CHANGELOG.md', 'SECURITY.md', 'README.md', 'README_zh-CN.md')
OTHERS = ('docs/conf.py',)
API = 'docs/api.md'  # its text begins the page that `write_reference` makes
NEEDS_MMAGIC = 'mmcm.mmagic.inferencer_bridge'  # its classes are made from MMagic's
LINK = re.compile(r'\]\(([^)#\s]+)[^)]*\)')
LANGUAGES = ('en', 'zh_CN')
REDIRECT = (
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={0}"><a href="{0}">mmcm</a>\n'
)


def stage(source: Path) -> list[str]:
    """Copy the pages and the files that they link below `source`; return the names of the pages."""
    pages = sorted({path.relative_to(ROOT).as_posix() for pattern in PAGES for path in ROOT.glob(pattern)} - {API})
    files = {*pages, *OTHERS}
    for page in pages:
        for target in LINK.findall((ROOT / page).read_text(encoding='utf-8')):
            path = (ROOT / page).parent / target
            if '://' not in target and path.is_file():
                files.add(os.path.relpath(path.resolve(), ROOT))
    for name in sorted(files):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if not (source / name).exists() or (source / name).read_bytes() != (ROOT / name).read_bytes():
            shutil.copyfile(ROOT / name, source / name)  # unchanged pages are not read again
    for path in source.rglob('*'):
        name = path.relative_to(source).as_posix()
        if path.is_file() and name not in files and not name.startswith('docs/api/'):
            path.unlink()
    return pages


def write_reference(source: Path, modules: bool = True) -> None:
    """Write the pages of the API reference, one for each folder of the package, below `source`."""
    folder = source / 'docs' / 'api'
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    files = sorted((ROOT / 'mmcm').rglob('*.py')) if modules else []
    names = ['.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__') for path in files]
    found: dict[str, list[str]] = {}
    for name in names:
        if not name.endswith('__main__') and (name != NEEDS_MMAGIC or find_spec('mmagic')):
            found.setdefault('.'.join(name.split('.')[:2]), []).append(name)
    for unit, members in found.items():
        lines = [unit, '=' * len(unit), '']
        for name in members:
            lines += [] if name == unit else [name, '-' * len(name), '']
            lines += [f'.. automodule:: {name}', '   :members:', '   :ignore-module-all:', '   :show-inheritance:', '']
        (folder / f'{unit}.rst').write_text('\n'.join(lines), encoding='utf-8')
    text = (ROOT / 'docs' / 'api.md').read_text(encoding='utf-8').replace('](', '](../')
    listed = '\n'.join(found)
    (folder / 'index.md').write_text(f'{text}\n```{{toctree}}\n\n{listed}\n```\n', encoding='utf-8')


class Links(HTMLParser):
    """The targets of a page, and the anchors that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Read a tag."""
        for name, value in attributes:
            if name in ('href', 'src') and value is not None:
                self.targets.append(value)
            elif name in ('id', 'name') and value:
                self.anchors.add(value)


def check_links(site: Path, root: str) -> list[str]:
    """Return the dead links of a built site, and the pages that no links lead to from `root`."""
    pages = {path.relative_to(site).as_posix(): Links() for path in site.rglob('*.html')}
    for name, page in pages.items():
        page.feed((site / name).read_text(encoding='utf-8'))
    dead, reached, waiting = [], {root}, [root]
    linked = {name: set() for name in pages}
    for name, page in pages.items():
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc or target in ('', '#'):
                continue
            path = os.path.normpath(Path(name).parent / unquote(parts.path)) if parts.path else name
            if path in pages:
                linked[name].add(path)
                if parts.fragment and unquote(parts.fragment) not in pages[path].anchors:
                    dead.append(f'{name}: {target} has no such anchor')
            elif not (site / path).is_file():
                dead.append(f'{name}: {target} is missing')
    while waiting:
        for path in linked[waiting.pop()] - reached:
            reached.add(path)
            waiting.append(path)
    # Scripts and the search box lead to these; an earlier build of the same folder left the redirection to `root`.
    own = {'genindex.html', 'search.html', 'py-modindex.html', 'index.html'}
    return dead + [f'{name}: no link leads to it' for name in sorted(set(pages) - reached - own)]


def build(language: str, folder: Path) -> None:
    """Run Sphinx; warnings are errors."""
    out = folder / 'html' / language
    command = [sys.executable, '-m', 'sphinx', '-b', 'html', '-q', '-W', '--keep-going']
    command += ['-c', str(folder / 'source' / 'docs'), '-d', str(folder / 'doctrees' / language)]
    environment = dict(os.environ, MMCM_DOCS_LANGUAGE=language, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')
    subprocess.run([*command, str(folder / 'source'), str(out)], env=environment, check=True)
    root = f'docs/index{"_zh-CN" if language == "zh_CN" else ""}.html'
    wrong = check_links(out, root)
    if wrong:
        sys.exit('\n'.join(wrong))
    (out / 'index.html').write_text(REDIRECT.format(root), encoding='utf-8')


def main() -> None:
    """Build the site."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=ROOT / 'build' / 'site', help='folder; default: build/site')
    parser.add_argument('--language', choices=LANGUAGES, nargs='+', default=LANGUAGES)
    parser.add_argument('--no-api', action='store_true', help='leave out the API reference, which takes minutes')
    args = parser.parse_args()
    folder = args.out.resolve()
    stage(folder / 'source')
    write_reference(folder / 'source', not args.no_api)
    for language in args.language:
        build(language, folder)
        print(f'Built {folder / "html" / language / "index.html"}')
    (folder / 'html' / 'index.html').write_text(REDIRECT.format('en/docs/index.html'), encoding='utf-8')


if __name__ == '__main__':
    main()
