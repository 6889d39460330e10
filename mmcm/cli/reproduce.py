"""`mmcm reproduce`: make an image again from the record in its file, and say what differs."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from mmcm.cli.completion import with_models
from mmcm.cli.errors import command
from mmcm.cli.parser import CommandParser
from mmcm.utils.files import write_bytes
from mmcm.utils.outputs import claimed

DIFFERENT = 1  # exit code if pixels differ


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Sample the images of a PNG again, by the record that mmcm sample and SamplingResult.save write into it, and '
        f'compare. The exit code is 0 if the pixels are the same, and {DIFFERENT} if they differ.',
        prog,
        examples=('pi.png', 'pi.png --out again.png', 'pi.png --model mine.py --checkpoint work_dirs/mine'),
    )
    parser.add_argument('picture', type=Path, help='a PNG that mmcm has written')
    parser.add_argument('--out', type=Path, metavar='FILE', help='PNG file for the new image')
    with_models(parser.add_argument('--model', help='the model; default: the one in the record, if a file may name it'))
    with_models(parser.add_argument('--checkpoint', help='its checkpoint'))
    parser.add_device(' of the kind in the record')
    parser.add_cache_dir()
    parser.add_force()
    return parser.parse_args(argv)


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    from mmcm.apis.reproduce import reproduce  # torch is loaded only for valid arguments

    def note(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    with claimed({'--out': args.out}, args.force, {'PICTURE': args.picture}):
        made = reproduce(args.picture, args.model, args.checkpoint, args.device, args.cache_dir, note)
        if args.out is not None:
            write_bytes(args.out, made.content)
    if made.same_bytes:
        print(f'{args.picture}: the same file, byte for byte')
    elif made.max_difference == 0:
        print(f'{args.picture}: the same pixels; the files differ')
    elif made.max_difference is None:
        print(f'{args.picture}: an image of another size')
    else:
        print(f'{args.picture}: {made.num_different} pixels differ, by up to {made.max_difference} of 255 levels')
    for change in made.changes:
        print(f'  {change}')
    if made.max_difference != 0:
        sys.exit(DIFFERENT)
