"""Entry point `mmcm` of all commands. Each is a module of this package, imported on use."""

import importlib
import os
import sys
from collections.abc import Sequence
from functools import partial

from mmcm.cli.completion import ASKED, asked_command, complete
from mmcm.cli.errors import command
from mmcm.cli.parser import CommandParser
from mmcm.utils.errors import InputError
from mmcm.version import __version__

COMMANDS = {
    'sample': 'generate images, from one to millions',
    'edit': 'inpaint, colorize, enlarge or vary an image',
    'web': 'sample, edit, interpolate and compare in a browser',
    'new': 'write a config that trains on own images',
    'train': 'train a model from a config, or several in order',
    'test': 'measure samples of a model, or any images',
    'search': 'find the noise levels of a few-step sampler',
    'score-edits': 'measure how well a model edits images',
    'analyze': 'plot scores, logs, samples, neighbours and data',
    'config': 'print a config, or how two differ',
    'info': 'print parameters, FLOPs, NFE and memory of a model',
    'reproduce': 'make an image again from what it records',
    'pack': 'pack a data set into one file that is fast to read',
    'statistics': 'compute the statistics of real images',
    'lsun': "write LSUN's database to image files",
    'download': 'download checkpoints of the zoo',
    'convert': 'convert between files of OpenAI, diffusers and mmcm',
    'export': 'write a model as ONNX or for torch.export',
    'publish': 'write the weights of a run to a file for others',
    'average': 'compute another average of the weights of a run',
    'zoo': 'list the models that have a name',
}

HELP = """usage: mmcm COMMAND ...

Consistency models: sample, edit, train, distil, measure.

commands:
{}

options:
  -h, --help  show this list
  --version   show the version

mmcm COMMAND --help lists the arguments of a command."""


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command that the first argument names."""
    name, *rest = list(sys.argv[1:] if argv is None else argv) or ['--help']
    if ASKED in os.environ:
        completed = asked_command(COMMANDS)
        if completed is None:
            complete_commands()
            return
        name, rest = completed, []
    if name in ('-h', '--help'):
        print(help_text())
    elif name == '--version':
        print(__version__)
    elif name in COMMANDS:
        importlib.import_module(f'mmcm.cli.{name.replace("-", "_")}').main(rest, prog=f'mmcm {name}')
    else:
        from mmcm.utils.nearest import nearest

        raise InputError(f'no command {name!r}{nearest(name, COMMANDS)}; there are {", ".join(COMMANDS)}')


def complete_commands() -> None:
    """Complete the name of a command for the shell."""
    parser = CommandParser('', 'mmcm')
    parser.add_argument('--version', action='store_true')
    parser.add_argument('command', choices=list(COMMANDS))
    complete(parser)


@command
def script(name: str, argv: Sequence[str] | None = None) -> None:
    """Run the command `name` as a script; signals are handled during its imports, which take seconds."""
    importlib.import_module(f'mmcm.cli.{name}').main(argv)


# Entry points of setup.py.
train, test, demo = (partial(script, name) for name in ('train', 'test', 'demo'))


def help_text() -> str:
    """Return the list of commands."""
    return HELP.format('\n'.join(f'  {name:12}{text}' for name, text in COMMANDS.items()))


if __name__ == '__main__':
    main()
