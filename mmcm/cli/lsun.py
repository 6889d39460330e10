"""`tools/dataset_converters/lsun.py`: export LSUN's database as image files."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from mmcm.cli.errors import command
from mmcm.cli.parser import CommandParser
from mmcm.utils.interrupts import advising


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        "Write the images of a category of LSUN to files, cropped and scaled as the released models' data were. An "
        'export that was stopped goes on when the same command is given again.',
        prog,
        examples=(
            'data/lsun/bedroom_train_lmdb data/lsun/bedroom',
            'data/lsun/cat_lmdb data/lsun/cat --format jpeg -n 100000',
            'data/lsun/cat_lmdb data/lsun/cat_original --format original',
        ),
    )
    parser.add_argument('data_root', help='the unpacked lmdb, a folder with data.mdb')
    parser.add_argument('out', type=Path, help='folder for the images')
    parser.add_size('of the images', 256)
    parser.add_argument(
        '--format',
        choices=['png', 'jpeg', 'webp', 'original'],
        default='png',
        help="of the files; 'original': as in the database, neither cropped nor scaled; default: %(default)s",
    )
    parser.add_integer('--quality', 'of jpeg and webp, 1 to 100', 95, None)
    parser.add_integer('-n --num-images', 'only the first N')
    parser.add_deprecated('--max-images', '--num-images')
    parser.add_corrupt('images that cannot be decoded; skipped ones are listed in corrupt.txt')
    parser.add_workers('read and write images')
    parser.add_force()
    return parser.parse_args(argv)


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    from mmcm.apis.data.lsun_export import CORRUPT_FILE, export_lsun  # torch is loaded only to export

    with advising('What has been written is kept: the same command goes on from there.'):
        done = export_lsun(
            args.data_root,
            args.out,
            args.format,
            args.size,
            args.quality,
            args.num_images,
            args.corrupt,
            args.workers,
            progress=True,
            force=args.force,
        )
    print(f'{args.out}: wrote {done.num_written} images, {done.num_found} were there')
    if done.corrupt:
        print(f'{len(done.corrupt)} could not be decoded and were left out, see {args.out / CORRUPT_FILE}')
