"""Argument parser of all commands: help with examples, one-line errors, completion by the shell."""

import sys
from argparse import SUPPRESS, Action, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import Any, NoReturn

from mmcm.cli.completion import complete
from mmcm.utils.corrupt_images import ON_CORRUPT
from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import size_argument
from mmcm.utils.system import usable_cores


class Deprecated(Action):
    """Action of an option under its former name, which stores the value and prints the new name."""

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
        description (str): Description of the command.
        prog (str, optional): Name of the program: 'mmcm train' through `mmcm`, else the name of the script.
        examples (Sequence[str]): Command lines for the help, without the name of the program.
        options: Options of argparse for the parsers of subcommands.
    """

    def __init__(self, description: str, prog: str | None = None, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(prog=prog, description=description, formatter_class=RawDescriptionHelpFormatter, **options)
        if examples:
            self.epilog = '\n'.join(['examples:', *(f'  {self.prog} {example}' for example in examples)])

    def add_integer(self, names: str, what: str, default: int | None = None, metavar: str | None = 'N') -> None:
        """Add an option for an integer, whose help is `what` and the default."""
        shown = '' if default is None else '; default: %(default)s'
        self.add_argument(*names.split(), type=int, default=default, metavar=metavar, help=what + shown)

    def add_size(self, what: str, default: int | None = None) -> None:
        """Add `--size`, the size of images in pixels, whose help is `what` and the default."""
        shown = '' if default is None else '; default: %(default)s'
        text = f'N for squares, or HEIGHT,WIDTH, in pixels: {what}{shown}'
        self.add_argument('--size', type=size_argument, default=default, metavar='SIZE', help=text)

    def add_workers(self, what: str) -> None:
        """Add `--workers`, the number of processes that do `what`: by default one per usable core."""
        most = usable_cores()
        self.add_argument(
            '--workers',
            type=int,
            default=most,
            metavar='N',
            help=f'processes that {what}; default: one per core, {most}',
        )

    def add_device(self, more: str = '') -> None:
        """Add `--device`."""
        self.add_argument('--device', help=f'cpu, cuda, ...; default: the best one present{more}')

    def add_dtype(self) -> None:
        """Add `--dtype`, the precision of the network."""
        text = 'auto (what is fast here, for large networks), float32, float16 or bfloat16; default: %(default)s'
        self.add_argument('--dtype', default='auto', help=text)

    def add_compile(self) -> None:
        """Add `--compile`, for networks that are called often."""
        text = 'compile the network, which takes up to minutes once and makes each later call faster'
        self.add_argument('--compile', action='store_true', help=text)

    def add_saved_dtype(self, what: str) -> None:
        """Add `--dtype`, the precision of weights in a file."""
        choices = ['float32', 'float16', 'bfloat16']
        self.add_argument('--dtype', choices=choices, default=choices[0], help=f'precision of {what}')

    def add_cache_dir(self, more: str = '') -> None:
        """Add `--cache-dir`, the folder of downloads."""
        text = f'where downloads are kept; default: $MMCM_HOME, else ~/.cache/mmcm{more}'
        self.add_argument('--cache-dir', help=text)

    def add_corrupt(self, what: str) -> None:
        """Add `--corrupt`, what to do with unreadable images."""
        text = f'what to do with {what}; default: %(default)s'
        self.add_argument('--corrupt', choices=ON_CORRUPT, default=ON_CORRUPT[0], help=text)

    def add_deprecated(self, old: str, new: str) -> None:
        """Accept the option `old`, absent from the help, as a former name of the option `new`."""
        action = self._option_string_actions[new]
        kind: Any = action.type
        self.add_argument(old, dest=action.dest, type=kind, help=SUPPRESS, default=SUPPRESS, action=Deprecated, new=new)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the arguments, or complete them for the shell."""
        complete(self)
        return super().parse_args(args, namespace)

    def add_force(self) -> None:
        """Add `--force`, the permission to replace existing outputs."""
        self.add_argument('--force', action='store_true', help='replace existing outputs')

    def add_background(self) -> None:
        """Add `--background`, the colour behind transparent images."""
        self.add_argument(
            '--background',
            metavar='COLOUR',
            help="colour behind transparent image files, a name or '#rrggbb', or 'none', which drops their alpha "
            'channel; default: white, or the colour in a config',
        )

    def error(self, message: str) -> NoReturn:
        """Raise `message` as an InputError."""
        raise InputError(f'{message}; {self.prog} --help lists all arguments')
