"""Settings of Sphinx for the site; `docs/build_site.py` runs it once for each language."""

import os
import re
from importlib.util import find_spec
from pathlib import Path

from mmcm.version import __version__

project, author, release = 'mmcm', 'mmcm authors', __version__
language = os.environ.get('MMCM_DOCS_LANGUAGE', 'en')
chinese = language == 'zh_CN'
root_doc = 'docs/index_zh-CN' if chinese else 'docs/index'
exclude_patterns = ['docs/api/*'] if chinese else []

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.autosummary', 'sphinx.ext.napoleon']
source_suffix = {'.md': 'markdown', '.rst': 'restructuredtext'}
myst_heading_anchors = 4  # the anchors that GitHub makes
# Blocks of shell output; types in docstrings that several modules have, such as Plan.
suppress_warnings = ['misc.highlighting_failure', 'ref.python']

autosummary_generate = False  # `build_site.py` writes a page for each folder
# Optional packages: modules that need them are documented without.
autodoc_mock_imports = [name for name in ('mmagic', 'deepspeed', 'gradio', 'lmdb', 'onnx') if find_spec(name) is None]
autodoc_typehints = 'none'  # docstrings give the types
autodoc_member_order = 'bysource'
napoleon_google_docstring, napoleon_numpy_docstring = True, False
napoleon_use_ivar = True  # attributes of data classes are described once

html_theme = 'furo'  # no font or script from another server
html_title = f'mmcm {release}'
html_copy_source = html_show_sourcelink = html_show_copyright = False
html_theme_options = {'navigation_with_keys': True, 'top_of_page_buttons': []}

CODE = re.compile(r'(``[^`]+``|`[^`]+`)')
GLUED = re.compile(r'^\w')  # the s of a plural behind code
SPECIAL = re.compile(r'(?<!\\)([*|]|(?<=\w)_(?=\W|$))')


def plain_text(app, what, name, obj, options, lines):
    """Escape what reStructuredText reads as markup; docstrings have code in single backticks, and no other markup."""
    for index, line in enumerate(lines):
        is_row = line.lstrip().startswith('|')
        parts = CODE.split(line)
        for place, part in enumerate(parts):
            if not part.startswith('`'):
                text = SPECIAL.sub(r'\\\1', part)
                parts[place] = GLUED.sub(r'\\ \g<0>', text) if place else text
            elif not part.startswith('``'):
                parts[place] = f'`{part}`'
        # Rows of a table stay lines of their own.
        lines[index] = f'| {line.strip()[1:-1].strip()}'.replace('`', '``') if is_row else ''.join(parts)


TO_COME = re.compile(r'^(methods\w*(?:-CN)?)\n', re.MULTILINE)
TOCTREES = re.compile(r'```{toctree}\n.*?```\n', re.DOTALL)


def existing(text, folder):
    """Return the lists of pages in `text` without pages that are still to be written."""
    return TO_COME.sub(lambda line: line[0] if (folder / f'{line[1]}.md').is_file() else '', text)


def both_languages(app, name, source):
    """Give the Chinese site the English pages, too, behind its own; their index has no lists of pages there."""
    folder = Path(app.srcdir) / 'docs'
    if name in ('docs/index', 'docs/index_zh-CN'):
        source[0] = existing(source[0], folder)
    if not chinese:
        return
    if name == 'docs/index':
        source[0] = TOCTREES.sub('', source[0])
    elif name == root_doc:
        text = (folder / 'index.md').read_text(encoding='utf-8')
        lists = TOCTREES.findall(existing(text, folder))
        english = ''.join(lists[:-1]).replace('\napi/index\n', '\n')
        source[0] += '\n```{toctree}\n:caption: English\n:hidden:\n\nindex\n```\n' + english


def setup(app):
    """Register the escaping before napoleon reads the sections."""
    app.connect('autodoc-process-docstring', plain_text, priority=100)
    app.connect('source-read', both_languages)
