"""`mmcm download`: fetch checkpoints, so that nothing has to be fetched later."""

import re
import sys
from argparse import Namespace
from collections.abc import Sequence

from mmcm.checkpoints import resolve_checkpoint
from mmcm.cli.errors import command
from mmcm.cli.parser import CommandParser
from mmcm.utils.errors import InputError
from mmcm.utils.interrupts import advising
from mmcm.zoo import list_models


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Download checkpoints, and print their paths. Existing files are skipped, and interrupted downloads resume. '
        '$MMCM_MIRRORS names base addresses to try first, for the files of the zoo.',
        prog,
        ('cd_imagenet64_lpips ct_imagenet64', 'all', 'openai/diffusers-cd_imagenet64_l2 --cache-dir /data/mmcm'),
    )
    parser.add_argument(
        'sources',
        nargs='+',
        metavar='SOURCE',
        help='a model of the zoo, all of them (all), an http or https address, or an id of the Hugging Face hub',
    )
    parser.add_cache_dir(', and for the hub its own cache')
    parser.add_argument('--sha256', metavar='HEX', help='digest that the file must have, if only one is fetched')
    return parser.parse_args(argv)


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    everything = [model.name for model in list_models() if model.weights]
    sources = [name for source in args.sources for name in (everything if source == 'all' else [source])]
    if args.sha256 is not None:
        if len(sources) > 1:
            raise InputError(f'--sha256 is the digest of one file, and {len(sources)} are to be fetched.')
        if not re.fullmatch('[0-9a-fA-F]{64}', args.sha256):
            raise InputError(f'--sha256 has to be 64 hexadecimal digits, got {args.sha256!r}.')
    failed = False
    with advising('What has been fetched is kept: the same command goes on from there.'):
        for source in dict.fromkeys(sources):
            try:
                print(resolve_checkpoint(source, args.cache_dir, sha256=args.sha256), flush=True)
            except InputError as error:
                print(f'error: {" ".join(str(error).split())}', file=sys.stderr)
                failed = True
    if failed:
        sys.exit(2)
