"""The parser of every command: help with examples, errors of one line, completion by the shell."""

import sys
from argparse import SUPPRESS, Action, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import Any, NoReturn

from mmcm.cli.completion import complete
from mmcm.utils.errors import InputError
from mmcm.utils.system import usable_cores


class Deprecated(Action):
    """Stores the value of an option under its former name, and names the present one."""

    def __init__(self, *args: Any, new: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.new = new

    def __call__(self, parser: Any, namespace: Namespace, values: Any, option_string: Any = None) -> None:
        """Store `values`."""
        print(f'note: {option_string} is deprecated, use {self.new}', file=sys.stderr)
        setattr(namespace, self.dest, values)


class CommandParser(ArgumentParser):
    """A parser whose errors are InputErrors, which `command` prints as one line.

    Args:
        description (str): What the command does.
        prog (str, optional): What the user called it: 'mmcm train' behind `mmcm`, else the name of the script.
        examples (Sequence[str]): Command lines that work, shown below the arguments, each without the program's name.
        options: What argparse itself hands to the parsers of subcommands.
    """

    def __init__(self, description: str, prog: str | None = None, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(prog=prog, description=description, formatter_class=RawDescriptionHelpFormatter, **options)
        if examples:
            self.epilog = '\n'.join(['examples:', *(f'  {self.prog} {example}' for example in examples)])

    def add_workers(self, what: str) -> None:
        """Add `--workers`, how many processes do `what`: by default one for each core that we may use."""
        self.add_argument(
            '--workers',
            type=int,
            default=usable_cores(),
            metavar='N',
            help=f'processes that {what}; default: one for each core, %(default)s',
        )

    def add_deprecated(self, old: str, new: str) -> None:
        """Accept the option `old`, which help does not list, as another name of the option `new`."""
        action = self._option_string_actions[new]
        self.add_argument(
            old, dest=action.dest, type=action.type, help=SUPPRESS, default=SUPPRESS, action=Deprecated, new=new
        )

    def parse_args(self, args: Sequence[str] | None = None, namespace: Namespace | None = None) -> Namespace:
        """Parse the arguments, or answer the shell that asks how they go on."""
        complete(self)
        return super().parse_args(args, namespace)

    def add_force(self) -> None:
        """Add `--force`, without which nothing that is there is replaced."""
        self.add_argument('--force', action='store_true', help='replace outputs that are there already')

    def add_background(self) -> None:
        """Add `--background`, what transparent images are composited on."""
        self.add_argument(
            '--background',
            metavar='COLOUR',
            help="what transparent image files are composited on: a colour, as a name or '#rrggbb', or 'none', which "
            'leaves their alpha channel out; default: white, or what a config says',
        )

    def error(self, message: str) -> NoReturn:
        """Raise `message` as an InputError."""
        raise InputError(f'{message}; {self.prog} --help tells of all arguments')
