"""Parser for the config text in a checkpoint. The text is parsed and never run, since the file may be hostile.

Python's own parser may crash the process on hostile text, and `ast.literal_eval` accepts more than a config needs. This
parser accepts assignments of literals and of `dict(...)`, which is all that MMEngine writes.
"""

import ast
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from mmcm.renamed import moved_name
from mmcm.utils.errors import InputError

MAX_TEXT = 1_000_000  # characters; a config with the names of 21 000 classes has half as many
MAX_DEPTH = 40  # of nesting; a training config has 10
MAX_NUMBER = 40  # characters of a number
SHOWN = 60  # characters of the text in an error
CONSTANTS = {'True': True, 'False': False, 'None': None, 'inf': float('inf'), 'nan': float('nan')}
TOKEN = re.compile(
    r"""(?P<space>[ \t\f\r\n]+|\#[^\n]*)
    |(?P<string>'[^'\\\n]*(?:\\.[^'\\\n]*)*'|"[^"\\\n]*(?:\\.[^"\\\n]*)*")
    |(?P<number>(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?)
    |(?P<name>[^\W\d]\w*)
    |(?P<mark>[=(){}\[\],:.-])""",
    re.VERBOSE | re.DOTALL,
)


def parse_config(text: str, source: str | Path = 'the text') -> dict[str, Any]:
    """Return the top-level settings of a config from its text.

    Args:
        text (str): Lines `name = value`, as MMEngine writes them. A value is a string, a number, True, False, None,
            inf, nan, or a list, a tuple or a dict of values; `dict(name=value)` is a dict, too.
        source (str | Path): What an error calls the file.

    Raises:
        InputError: If there is anything else in it, or it is longer or deeper than a config can be.
    """
    if len(text) > MAX_TEXT:
        raise InputError(f'{source}: the config in it has {len(text)} characters, and at most {MAX_TEXT} are read.')
    return _Reader(text, source).settings()


class _Reader:
    """A recursive descent over the tokens of a config."""

    def __init__(self, text: str, source: str | Path) -> None:
        self.text = text
        self.source = source
        self.end = 0  # of the current token
        self.advance()

    def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        while self.kind:
            name = self.token
            if self.kind != 'name':
                self.refuse(f'{self.shown()} is no setting (name = value)')
            self.advance()
            if self.token != '=':
                self.refuse(f'{name} {self.shown()} is no setting (name = value)')
            self.advance()
            self.put(settings, name, self.value(0))
        return settings

    def advance(self) -> None:
        """Go to the next token; its kind is '' at the end of the text."""
        self.kind, self.token, self.start = '', '', self.end
        while self.end < len(self.text):
            match = TOKEN.match(self.text, self.end)
            if match is None:
                self.start = self.end
                self.refuse(f'{self.shown()} is no setting (name = value)')
            self.start, self.end = match.span()
            if match.lastgroup != 'space':
                self.kind, self.token = match.lastgroup or '', match[0]
                return
        self.start = self.end

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            self.refuse(f'more than {MAX_DEPTH} levels of nesting')
        kind, token = self.kind, self.token
        if kind == 'string':
            return self.string()
        if kind == 'number' or token == '-':
            return self.number()
        if kind == 'name':
            return self.named(depth)
        if token in ('[', '('):
            return self.sequence(depth)
        if token == '{':
            return self.mapping(depth)
        self.refuse(f'a value is missing before {self.shown()}' if kind else 'the text ends within a setting')

    def string(self) -> str:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')  # of escapes that mean nothing
                text = ast.literal_eval(self.token)  # one string, and nothing but a string
        except (SyntaxError, ValueError):
            self.refuse(f'{self.shown()} is no string')
        self.advance()
        return text

    def number(self) -> int | float:
        sign = 1
        if self.token == '-':
            sign = -1
            self.advance()
            if self.token in ('inf', 'nan'):
                return sign * self.named(0)
        if self.kind != 'number' or len(self.token) > MAX_NUMBER:
            self.refuse(f'{self.shown()} is no number of at most {MAX_NUMBER} digits')
        token = self.token
        try:
            number = float(token) if re.search('[.eE]', token) else int(token)
        except ValueError:
            self.refuse(f'{self.shown()} is no number')
        self.advance()
        return sign * number

    def named(self, depth: int) -> Any:
        """Return a constant, or the dict of `dict(...)`."""
        name, start = self.token, self.start
        self.advance()
        if name == 'dict' and self.token == '(':
            return self.dict_call(depth)
        if name in CONSTANTS and self.token not in ('(', '.'):
            return CONSTANTS[name]
        while self.token == '.':
            self.advance()
            name += f'.{self.token}'
            self.advance()
        self.start, name = start, f'{name[:SHOWN]!r}'
        what = f'the call of {name}' if self.token == '(' else f'the name {name}'
        self.refuse(f'{what} is refused: values are literals, lists and dict(...)')

    def dict_call(self, depth: int) -> dict:
        self.advance()
        found: dict = {}
        if self.token == '{':  # MMEngine writes dict({'a key': ...}) where a key is no name
            found = self.mapping(depth)
            self.separator(')')
        while self.token != ')':
            key = self.token
            if self.kind != 'name':
                self.refuse(f'{self.shown()} is no setting (name=value)')
            self.advance()
            if self.token != '=':
                self.refuse(f'{key} {self.shown()} is no setting (name=value)')
            self.advance()
            self.put(found, key, self.value(depth + 1))
            self.separator(')')
        self.advance()
        return found

    def mapping(self, depth: int) -> dict:
        self.advance()
        found: dict = {}
        while self.token != '}':
            if self.kind not in ('string', 'number') and self.token not in ('-', 'True', 'False', 'None'):
                self.refuse(f'{self.shown()} is no key of a dict')
            key = self.value(depth + 1)
            if self.token != ':':
                self.refuse(f'{self.shown()} in place of a colon')
            self.advance()
            self.put(found, key, self.value(depth + 1))
            self.separator('}')
        self.advance()
        return found

    def sequence(self, depth: int) -> list | tuple | Any:
        close = ']' if self.token == '[' else ')'
        self.advance()
        found = []
        comma = False
        while self.token != close:
            found.append(self.value(depth + 1))
            comma = self.separator(close)
        self.advance()
        if close == ']':
            return found
        return found[0] if len(found) == 1 and not comma else tuple(found)

    def separator(self, close: str) -> bool:
        """Step over a comma, and return whether there was one; only `close` may be in its place."""
        if self.token == ',':
            self.advance()
            return True
        if self.token != close:
            self.refuse(f'{self.shown()} in place of a comma' if self.kind else 'the text ends within a setting')
        return False

    def put(self, settings: dict, key: Any, value: Any) -> None:
        if key in settings:
            self.refuse(f'{str(key)[:SHOWN]!r} is set twice')
        settings[key] = value

    def shown(self) -> str:
        """Return the text from the current token on, so much of it as an error may have."""
        lines = self.text[self.start : self.start + SHOWN].splitlines()
        return repr(lines[0] if lines else '')

    def refuse(self, what: str) -> NoReturn:
        line = self.text.count('\n', 0, self.start) + 1
        raise InputError(f'{self.source}: the config in it is refused, nothing of it was run. Line {line}: {what}.')


def setting(config: Any, *keys: str) -> Any:
    """Return the setting at the nested `keys` of a config, None if there is none."""
    for key in keys:
        config = config.get(key) if isinstance(config, Mapping) else None
    return config


def __getattr__(name: str) -> object:
    return moved_name(__name__, name)
