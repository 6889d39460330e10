"""`mmcm publish`: write the network of a training checkpoint to a safetensors file."""

import hashlib
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from mmcm.cli.completion import with_models
from mmcm.cli.errors import command
from mmcm.cli.model_arguments import EMA_HELP, model_and_out
from mmcm.cli.parser import CommandParser
from mmcm.utils.outputs import claimed


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        "Write a network's weights alone to a safetensors file, with the config that they belong to.",
        prog,
        examples=(
            '--model work_dirs/my_run --out my_model.safetensors',
            'work_dirs/my_run my_model.safetensors --ema 0.9999 --dtype float16',
        ),
    )
    with_models(parser.add_argument('places', nargs='*', metavar='MODEL OUT', help='the same as --model and --out'))
    with_models(parser.add_argument('--model', help='work directory (its last checkpoint), or training checkpoint'))
    parser.add_argument('--out', help='file to write, ending in .safetensors')
    parser.add_argument('--ema', help=EMA_HELP)
    parser.add_saved_dtype('the file')
    parser.add_force()
    args = parser.parse_args(argv)
    args.model, args.out = model_and_out(args.model, args.places, args.out)
    return args


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    out = Path(args.out).expanduser()
    with claimed({'--out': out}, args.force, {'--model': args.model}):
        import torch  # loaded only for arguments in order

        from mmcm.apis.publish import publish

        publish(args.model, out, args.ema, getattr(torch, args.dtype))
    sha = hashlib.sha256(out.read_bytes()).hexdigest()
    print(f'Wrote {out} ({out.stat().st_size / 1e6:.2f} MB)\nsha256 of the file: {sha}')
