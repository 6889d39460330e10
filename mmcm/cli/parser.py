"""The parser of every command: help with examples, and errors of one line."""
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import Any, NoReturn, Optional

from mmcm.utils.errors import InputError
from mmcm.utils.system import usable_cores


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
        self.add_argument(
            '--workers',
            type=int,
            default=usable_cores(),
            metavar='N',
            help=f'processes that {what}; default: one for each core, %(default)s')

    def error(self, message: str) -> NoReturn:
        """Raise `message` as an InputError."""
        raise InputError(f'{message}; {self.prog} --help tells of all arguments')
