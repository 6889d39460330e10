"""`tools/dataset_converters/reference_statistics.py`: write the statistics of a network's features of real images."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmcm.cli.config import Options, add_pairs, as_values, check_options, check_size, first_extractor
from mmcm.cli.errors import command
from mmcm.cli.parser import CommandParser
from mmcm.utils.errors import InputError
from mmcm.utils.outputs import claimed


class Named(Options):
    """A type, and KEY=VALUE pairs for its arguments."""

    def __call__(self, parser: Any, namespace: Namespace, values: Any, option_string: Any = None) -> None:
        """Parse `values`, the first of which may be the type alone."""
        first, *rest = values
        super().__call__(parser, namespace, [first if '=' in first else f'type={first}', *rest], option_string)


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Compute the statistics of real images that FID, sFID and other metrics compare with, once and for all: a '
        "metric takes the file as its reference='ref.npz'.",
        prog,
        examples=(
            'cd_1xb32_digits-8x8 --out digits.npz',
            'cd-lpips_8xb256_imagenet1k-64x64 --num-images 50000 --workers 8 --out ref.npz',
            'data/imagenet64.npz --features --out ref.npz',
            'data/photos --size 64 --workers 8 --extractor InceptionV3 checkpoint=inception.pth --out ref.npz',
        ),
    )
    parser.add_argument(
        'dataset',
        help='config file or the name of one that comes with mmcm (its training data, without mirror images), or a '
        'folder, zip, lmdb or npz (arr_0) of images',
    )
    parser.add_argument('--out', required=True, metavar='FILE.npz', help='where to write')
    parser.add_argument(
        '--extractor',
        nargs='+',
        action=Named,
        metavar=('TYPE', 'KEY=VALUE'),
        help='the network of features, and its settings; default: the one by which the config is evaluated, else '
        'InceptionV3',
    )
    parser.add_size(
        'cut out the middle of the images of a folder, zip or lmdb and scale it to this size; default: as they are, '
        'which have to be of one size then'
    )
    parser.add_background()
    parser.add_integer('-n --num-images', 'number of images, evenly spread over the data; default: all')
    parser.add_integer('--workers', 'processes that read images', 0)
    example = 'train_dataloader.dataset.data_root=data/cifar10'
    add_pairs(parser, '--cfg-options', f'change settings of DATASET, a config, for example {example}')
    parser.add_argument(
        '--features',
        action='store_true',
        help='write the features of all images, too, which the kernel distance, precision and recall need: 8 kB per '
        'image with InceptionV3',
    )
    parser.add_force()
    return parser.parse_args(argv)


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    path = Path(args.out).expanduser()
    if path.suffix != '.npz':
        raise InputError(f'--out has to be an npz file, got {path}.')
    with claimed({'--out': path}, args.force, {'DATASET': args.dataset}):
        write(path, args)


def write(path: Path, args: Namespace) -> None:
    """Compute the statistics of `args`, and write them."""
    from mmcm.apis.data.resolve_dataset import dataset_config  # torch is loaded only for arguments in order
    from mmcm.cli.building import built_from_config
    from mmcm.evaluation.features.shared import channels_for
    from mmcm.evaluation.reference import Reference
    from mmcm.evaluation.statistics import write_statistics

    extractor = as_values(args.extractor or default_extractor(args.dataset, args.cfg_options))
    dataset = dataset_config(
        changed_data(args.dataset, args.cfg_options), args.size, channels_for(extractor), args.background
    )
    check_size(args.size, {args.dataset: dataset})
    if dataset['type'] == 'ImagePack':
        dataset['labelled'] = False  # anyone's images will do
    with built_from_config():
        reference = Reference(dataset, extractor, args.num_images, args.workers)
        if args.features:
            reference.want('table')
        statistics = reference.made()
    write_statistics(path, statistics)
    features = statistics.features
    assert features is not None  # a file may lack them, but they are computed here
    spatial = f' and {len(statistics.spatial.mean)} spatial ones' if statistics.spatial else ''
    print(
        f'Wrote {path}: {features.num_images} images of {args.dataset}, seen by {statistics.kind}, '
        f'{len(features.mean)} features{spatial}.'
    )


def changed_data(dataset: str, options: dict | None) -> str | dict:
    """Return the training data of the config `dataset`, changed by `options`; without options, return `dataset`.

    Raises:
        InputError: If there are options, and `dataset` is no config or names no data.
    """
    if not options:
        return dataset
    from mmcm.apis.data.resolve_dataset import named_config

    config = named_config(dataset, options)
    check_options(options, config.filename)
    data = (config.get('train_dataloader') or {}).get('dataset')
    if data is None:
        raise InputError(f'{dataset} names no data: it has no train_dataloader.dataset.')
    return data


def default_extractor(dataset: str, options: dict | None = None) -> dict:
    """Return the config of the extractor that the config `dataset` is evaluated with, else of InceptionV3."""
    from mmcm.apis.data.resolve_dataset import named_config
    from mmcm.evaluation.features.shared import REFERENCE

    try:
        evaluator = named_config(dataset, options).get('test_evaluator')
    except InputError:  # it is no config but images
        evaluator = None
    return first_extractor(evaluator) or dict(type=REFERENCE)
