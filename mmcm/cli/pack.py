"""`mmcm pack`: write any data set into one file that is mapped, not decoded."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmcm.cli.config import add_pairs, as_values
from mmcm.cli.errors import command
from mmcm.cli.parser import CommandParser
from mmcm.utils.corrupt_images import MOST_REASONS
from mmcm.utils.errors import InputError
from mmcm.utils.outputs import claimed

LISTED = 20  # corrupt images


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Pack a data set into one npz file: uint8 images, labels, digests. A run that was stopped goes on when the '
        'same command is given again.',
        prog,
        examples=(
            'data/imagenet/train --size 64 --out data/imagenet64.npz --corrupt skip',
            'configs/ect/ect_1xb128_cifar10-32x32.py --out data/cifar10.npz',
            'CIFAR100 --options data_root=data/cifar100 split=test --out data/cifar100_test.npz',
            '--verify data/imagenet64.npz',
        ),
    )
    parser.add_argument(
        'source',
        nargs='?',
        metavar='SOURCE',
        help='folder or zip of images, lmdb of LSUN, npz of images, config or model of the zoo (its training data), or '
        'the type of a data set, whose arguments --options gives',
    )
    parser.add_argument('--out', metavar='FILE.npz', help='what to write')
    parser.add_size(
        'cut out the middle and scale it to this size, as the data of the released models were; default: images '
        'stay as they are, and need one size'
    )
    parser.add_argument(
        '--channels',
        type=int,
        choices=(1, 3),
        help='1: grey, the brightness of colours; 3: RGB; default: RGB for image files, other data as they are',
    )
    add_pairs(parser, '--options', 'arguments of the data set, for example labelled=False', {})
    parser.add_workers('read images')
    parser.add_corrupt('an image that cannot be read')
    parser.add_background()
    parser.add_force()
    parser.add_argument('--verify', metavar='FILE.npz', help='check a pack against its digests, and do nothing else')
    args = parser.parse_args(argv)
    if args.verify is None and None in (args.source, args.out):
        parser.error('SOURCE and --out are needed, or --verify')
    if args.verify is not None and (args.source, args.out) != (None, None):
        parser.error('--verify goes alone')
    return args


def source_config(
    source: str, size: Any, options: dict, background: str | None = None, channels: int | None = None
) -> dict:
    """Return the config of the data set to pack.

    Raises:
        InputError: If there is none, it changes images at random, or `size` is given although it has its own.
    """
    import inspect

    import mmcm.datasets  # noqa: F401 (registers them)
    from mmcm.apis.data.packing import check_nothing_random
    from mmcm.apis.data.resolve_dataset import NoDataError, dataset_config, in_channels, pipeline_for
    from mmcm.registry import DATASETS
    from mmcm.utils.nearest import nearest

    options = as_values(options)
    kind = DATASETS.module_dict.get(source)
    if kind is not None:
        config: dict[str, Any] = dict(type=source)
        required = [
            name
            for name, parameter in inspect.signature(kind).parameters.items()
            if parameter.default is parameter.empty
        ]
        if 'pipeline' in required:
            config['pipeline'] = pipeline_for(size)
            size = None
        missing = [f'{name}=VALUE' for name in required if name not in (*config, *options)]
        if missing:
            raise InputError(f'{source} needs more arguments: add --options {" ".join(missing)}.')
    else:
        try:
            config = dataset_config(source, size)
        except NoDataError as error:
            raise InputError(
                f'{error} Or name the type of a data set, such as CIFAR10 with --options '
                f'data_root=data/cifar10{nearest(source, DATASETS.module_dict)}.'
            ) from error
        if any(transform.get('size') == size for transform in config.get('pipeline') or ()):
            size = None
    if size is not None:
        raise InputError(
            f'--size is for images in files, and {source} sets the size of its images itself. Leave it out, or '
            'give its folder instead.'
        )
    config = in_channels(dataset_config({**config, **options}, background=background), channels)
    check_nothing_random(config.get('pipeline') or ())
    return config


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    if args.verify is not None:
        from mmcm.apis.data.packing import verify

        notes = verify(args.verify)
        print(f'{args.verify} is as it was packed: {notes["num_images"]} images')
        return
    out = Path(args.out).expanduser()
    if out.suffix != '.npz':
        raise InputError(f'{out} has to end in .npz.')
    with claimed({'--out': out}, args.force, {'SOURCE': args.source}):
        write(out, args)


def write(out: Path, args: Namespace) -> None:
    """Pack the data set of `args` into `out`."""
    config = source_config(args.source, args.size, args.options, args.background, args.channels)

    from mmcm.apis.data.packing import pack
    from mmcm.apis.data.resolve_dataset import build_images
    from mmcm.cli.building import built_from_config

    with built_from_config():
        dataset = build_images(config)
    empty = dataset.empty_classes
    if empty:
        print(empty)
    done = pack(dataset, out, config, args.workers, args.corrupt, progress=True)
    for reason in done.corrupt[:LISTED]:
        print(f'left out: {reason}')
    if len(done.corrupt) > LISTED:
        print(f'... and {len(done.corrupt) - LISTED} more; dataset.json in the file has up to {MOST_REASONS:,} of them')
    if done.composited:
        print(done.composited)
    if done.empty_classes != empty:  # corrupt images are left out
        print(done.empty_classes)
    found = f', {done.num_found} of them by an earlier run' if done.num_found else ''
    print(
        f'Packed {done.num_images} images{found}, {len(done.corrupt)} left out, {out.stat().st_size / 1e6:.2f} MB: '
        f'{out}'
    )
