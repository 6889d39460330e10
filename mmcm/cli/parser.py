"""The parser of every command: help with examples, and errors of one line."""
import os
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import Any, NoReturn, Optional

from mmcm.utils.errors import InputError


class CommandParser(ArgumentParser):
    """A parser whose errors are InputErrors, which `command` prints as one line.

    Args:
        description (str): What the command does.
        prog (str, optional): What the user called it: 'mmcm train' behind `mmcm`, else the name of the script.
        examples (Sequence[str]): Command lines that work, shown below the arguments, each without the program's name.
        options: What argparse itself hands to the parsers of subcommands.
    """

    def __init__(self,
                 description: str,
                 prog: Optional[str] = None,
                 examples: Sequence[str] = (),
                 **options: Any) -> None:
        super().__init__(
            prog=prog, description=description, formatter_class=RawDescriptionHelpFormatter, **options)
        if examples:
            self.epilog = '\n'.join(['examples:', *(f'  {self.prog} {example}' for example in examples)])

    def add_workers(self, what: str) -> None:
        """Add `--workers`, how many processes do `what`: by default one for each core that we may use."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
        self.add_argument(
            '--workers',
            type=int,
            default=cores,
            metavar='N',
            help=f'processes that {what}; default: one for each core, %(default)s')

    def add_background(self) -> None:
        """Add `--background`, what transparent images are composited on."""
        self.add_argument(
            '--background',
            metavar='COLOUR',
            help="what transparent image files are composited on: a colour, as a name or '#rrggbb', or 'none', which "
            'leaves their alpha channel out; default: white, or what a config says')

    def error(self, message: str) -> NoReturn:
        """Raise `message` as an InputError."""
        raise InputError(f'{message}; {self.prog} --help tells of all arguments')
