"""`mmcm new`: write a config that trains on own images."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from mmcm.apis.new.methods import DEFAULT, DEFAULT_FROM, METHODS, stages_of
from mmcm.cli.errors import command
from mmcm.cli.parser import CommandParser
from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import height_and_width, size_argument
from mmcm.utils.outputs import claimed

CLASSES = ('folders', 'names', 'none')
BUDGET = '30m'


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Look at images, measure this machine, and write a config that trains on them within a time.',
        prog,
        examples=(
            'pictures --size 64 --out my_pictures.py',
            'icons.zip --size 32 --budget 8h --classes folders --out icons.py',
            'photos --size 64x96 --from cd_cat256_l2 --out photos.py',
        ),
    )
    parser.add_argument(
        'source', metavar='SOURCE', help='folder or zip of images, npz of images, lmdb of LSUN, or config with its data'
    )
    parser.add_argument('--out', required=True, metavar='FILE.py', help='the config to write')
    parser.add_argument(
        '--size',
        type=size_argument,
        metavar='N|HxW',
        help='side of the images in pixels, or height x width; default: by the sizes of the files, at most 64',
    )
    parser.add_argument(
        '--method',
        choices=METHODS,
        help=f'default: {DEFAULT}, which trains a diffusion model and distils it, or {DEFAULT_FROM} with --from',
    )
    parser.add_argument('--budget', default=BUDGET, metavar='TIME', help='such as 30m, 8h or 2d; default: %(default)s')
    parser.add_argument(
        '--from', dest='start', metavar='MODEL', help='model to start from: name of the zoo, work directory or file'
    )
    parser.add_argument(
        '--classes',
        choices=CLASSES,
        help='names of subfolders, the beginnings of file names up to an underscore, or none; default: subfolders, '
        'where there are at least two',
    )
    parser.add_background()
    parser.add_workers('read images')
    parser.add_force()
    return parser.parse_args(argv)


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    out = Path(args.out).expanduser()
    if out.suffix != '.py':
        raise InputError(f'--out {out} has to end in .py, as it becomes a config.')
    if '.' in out.stem:
        raise InputError(f'--out {out} has a dot in its name, which MMEngine does not read: name another file.')
    method = args.method or (DEFAULT_FROM if args.start else DEFAULT)
    *before, _ = [stage for stage, _ in stages_of(method, args.start is not None)]
    outs = (*(out.with_name(f'{out.stem}_{stage}.py') for stage in before), out)
    with claimed({'--out': list(outs)}, args.force, {'SOURCE': args.source}):
        write(args, method, outs)


def write(args: Namespace, method: str, outs: Sequence[Path]) -> None:
    """Write the configs `outs`, and print what was found and chosen."""
    import mmcm.datasets  # noqa: F401 (registers them)
    from mmcm.apis.new.budget import parse_budget
    from mmcm.apis.new.new_config import new_config
    from mmcm.apis.new.report import lines_of
    from mmcm.apis.new.request import Request
    from mmcm.apis.new.source import Source

    size = None if args.size is None else height_and_width(args.size)
    source = Source(args.source, size, args.classes, args.background)
    pack = outs[-1].with_suffix('.npz')
    request = Request(
        source, tuple(outs), pack, method, parse_budget(args.budget), args.start, args.workers, args.force
    )
    for line in lines_of(new_config(request, lambda line: print(line, flush=True)), request):
        print(line)


if __name__ == '__main__':
    main()
