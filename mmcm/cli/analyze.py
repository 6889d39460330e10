"""`mmcm analyze`: figures of scores, logs, samples and data."""

import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcm.cli.completion import with_models
from mmcm.cli.config import as_values, check_size, first_extractor, report_transparency
from mmcm.cli.errors import command
from mmcm.cli.model_arguments import labels_of
from mmcm.cli.parser import CommandParser
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.files import write_bytes
from mmcm.utils.outputs import claimed

if TYPE_CHECKING:  # which load torch
    from mmcm.apis.analysis.one_seed import Row
    from mmcm.datasets.image_dataset import ImageDataset

SAMPLED = 100  # default number of samples of a model
SOURCES = 'folder or zip of images, npz (arr_0 uint8 NHWC), lmdb of LSUN, or config (its training data)'


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Plot scores, logs, samples and data.',
        prog,
        examples=(
            'calls ct.json cd.json ict.json --metric FID --out calls.png',
            'seeds --row digits steps=1 --row digits steps=2 "name=two steps" --out seeds.png',
            'neighbours samples.npz cd_1xb32_digits-8x8 --out neighbours.png --json neighbours.json',
            'neighbours --model digits cd_1xb32_digits-8x8 --features cd_1xb32_digits-8x8 --out features.png',
            'dataset cd_1xb32_digits-8x8 --out digits.png',
            'pipeline pictures --size 64 --out pipeline.png',
            'log work_dirs/ct_1xb32_digits-8x8 --out log.png',
        ),
    )
    commands = parser.add_subparsers(dest='what', required=True, metavar='WHAT')

    description = 'Plot a metric against the network evaluations (NFE) per image, a line for each method.'
    calls = commands.add_parser('calls', description=description, help='a metric against the NFE')
    calls.add_argument('scores', nargs='+', type=Path, help='JSON files that `mmcm test --out` wrote')
    calls.add_argument('--metric', help='such as FID or frechet/distance; default: the first that all files have')
    calls.add_argument('--names', nargs='+', metavar='NAME', help='names of the files; default: their configs')
    calls.add_argument('--log', action='store_true', help='a logarithmic axis for the metric')

    seeds = commands.add_parser(
        'seeds',
        description='Show samples of the same seeds by several models or samplers, a row for each.',
        help='samples of one seed across models and samplers',
    )
    seeds.add_argument(
        '--row',
        nargs='+',
        action='append',
        required=True,
        metavar=('MODEL', 'KEY=VALUE'),
        help='a model, as in `mmcm sample --model`, and what differs: checkpoint, ema, steps, name, or settings of the '
        'sampler such as type=HeunSampler num_steps=18',
    )
    text = 'a column for each; default: 0 to 7'
    seeds.add_argument('--seeds', nargs='+', type=int, default=list(range(8)), metavar='SEED', help=text)
    text = "classes of the columns, by number or name; 'balanced' (0, 1, 2, ... in turn), the default; or 'random'"
    seeds.add_argument('--labels', nargs='+', default=['balanced'], metavar='LABEL', help=text)
    seeds.add_device()

    neighbours = commands.add_parser(
        'neighbours',
        description='Find the training images nearest to samples, to see whether a model has memorised its data.',
        help='nearest training images of samples',
    )
    neighbours.add_argument('samples', nargs='?', help=f'{SOURCES}; or give --model')
    neighbours.add_argument('data', help=f'the training images: {SOURCES}')
    text = 'take samples of this model, balanced over the classes, as in `mmcm sample --model`'
    with_models(neighbours.add_argument('--model', help=text))
    neighbours.add_integer('-n --num-images', f'samples of MODEL; default: {SAMPLED}')
    neighbours.add_deprecated('--draw', '--num-images')
    neighbours.add_integer('-k', 'neighbours of each', 5)
    neighbours.add_integer('--rows', 'samples on the grid, those nearest to training images', 16)
    neighbours.add_integer('--real', 'training images whose own neighbours are found for scale', 100)
    neighbours.add_argument(
        '--features',
        nargs='+',
        metavar=('TYPE', 'KEY=VALUE'),
        help='compare features in place of pixels: the type of an extractor and its settings, or a config, which names '
        'one for its metrics',
    )
    neighbours.add_integer('--workers', 'processes that read images', 0)
    neighbours.add_argument('--json', type=Path, help='file for all distances')

    dataset = commands.add_parser(
        'dataset',
        description='Show a data set on a grid: images of its classes, counts, sizes, colours.',
        help='grid of a data set',
    )
    dataset.add_argument('data', help=SOURCES)
    dataset.add_integer('--rows', 'classes to show', 10)
    dataset.add_integer('--columns', 'images of each', 10)
    dataset.add_integer('--seed', 'seed of the choice of images', 0, None)
    dataset.add_integer('--measured', 'images that sizes and colours are taken of', 10000)
    dataset.add_argument('--json', type=Path, help='file for the numbers')

    pipeline = commands.add_parser(
        'pipeline',
        description='Show training images after each transform of the data set, and as the augmentation changes them.',
        help='images after each transform',
    )
    pipeline.add_argument('data', help=SOURCES)
    pipeline.add_integer('--rows', 'images to show', 5)
    pipeline.add_integer('--draws', 'columns for model.augmentation, which is random', 3)
    pipeline.add_integer('--seed', 'seed of random transforms', 0, None)

    log = commands.add_parser(
        'log',
        description='Plot the log of a training: losses, learning rate, N, loss by sigma, validations; print the ETA.',
        help='losses, learning rate, N and ETA of trainings',
    )
    log.add_argument('runs', nargs='+', metavar='RUN', help='work directories')
    log.add_argument('--json', type=Path, help='file for all numbers')

    for each in (neighbours, dataset, pipeline):
        each.add_size('cut image files to this size; default: as they are')
        each.add_background()
    for name, each in commands.choices.items():
        each.add_argument('--out', type=Path, required=True, metavar='FILE', help=f'the image file, such as {name}.png')
        each.add_force()
    args = parser.parse_args(argv)
    if args.what == 'neighbours':
        settle_samples(args)
    return args


def settle_samples(args: Namespace) -> None:
    """Set `model` or `samples` of `args`, and the number of samples."""
    if args.num_images is not None and args.model is None:  # `SAMPLES DATA --draw N` named the model so
        args.model, args.samples = args.samples, None
    if (args.model is None) == (args.samples is None):
        raise InputError('neighbours need samples, either files (SAMPLES DATA) or a model (--model MODEL DATA).')
    if args.num_images is None:
        args.num_images = SAMPLED
    check_count('--num-images', args.num_images)


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    from mmcm.utils.images import check_suffix, write_image  # here: torch is loaded only for valid arguments
    from mmcm.utils.provenance import KEY, record_of

    check_suffix(args.out)
    texts = getattr(args, 'json', None)
    read = {name: getattr(args, name, None) for name in ('scores', 'samples', 'data', 'runs')}
    with claimed({'--out': args.out, '--json': texts}, args.force, read):
        pixels, numbers = FIGURES[args.what](args)
        record = record_of('figure', command=f'analyze {args.what}')
        write_image(args.out, pixels, record)
        if texts:
            write_bytes(texts, (json.dumps({**numbers, KEY: record}, indent=2) + '\n').encode())
    print(f'Wrote {args.out}')


def calls(args: Namespace) -> tuple:
    """Plot a metric against the NFE."""
    from mmcm.apis.analysis.nfe import draw_curves, read_curves

    title, curves = read_curves(args.scores, args.metric, args.names)
    for curve in curves:
        points = [f'{value:.4g} at {number}' for number, value in zip(curve.calls, curve.values)]
        print(f'{title} of {curve.name}: {", ".join(points) or f"{curve.values[0]:.4g}"}')
    return draw_curves(title, curves, log=args.log), None


def seeds(args: Namespace) -> tuple:
    """Make a grid of samples of the same seeds."""
    from mmcm.apis.analysis.one_seed import seed_sheet

    rows = [row_of(*words) for words in args.row]
    return seed_sheet(rows, args.seeds, labels_of(args.labels), args.device), None


def row_of(model: str, *words: str) -> 'Row':
    """Parse the words after --row."""
    from mmcm.apis.analysis.one_seed import Row

    texts = settings('--row', words)
    named = {
        name: texts.pop(key)
        for key, name in (('checkpoint', 'checkpoint'), ('ema', 'average'), ('name', 'name'))
        if key in texts
    }
    values = as_values(texts)
    steps = values.pop('steps', None)
    if steps is not None:
        check_count('steps', steps)
    return Row(model, num_steps=steps, sampler=values or None, **named)


def neighbours(args: Namespace) -> tuple:
    """Find the nearest training images of samples."""
    from mmcm.apis.analysis.neighbours import features_with, find_neighbours, neighbour_sheet, pixels_of, report

    for name in ('rows', 'real'):
        check_count(f'--{name}', getattr(args, name))
    check_count('--workers', args.workers, 0)
    if args.model is None:
        data, samples = opened([args.data, args.samples], args.size, args.background)
        samples = read_like(data, samples, args.samples, args)
    else:
        data, samples = opened([args.data], args.size, args.background)[0], drawn(args.model, args.num_images)
    data = read_like(samples, data, args.data, args)
    describe = features_with(extractor_of(*args.features)) if args.features else pixels_of
    found, real = find_neighbours(samples, data, args.k, args.real, describe, args.workers, progress=True)
    numbers = dict(
        distance=' '.join(args.features) if args.features else 'root mean square of grey levels, 0 to 255',
        **report(found, real, samples, data),
    )
    median = numbers['median_distance']
    print(
        f'Distance to the nearest training image, median: {median["samples"]:.4g} of {len(samples)} samples, '
        f'{median["real"]:.4g} of {len(numbers["real"])} training images. {100 * numbers["share_nearer"]:.1f} % of '
        'the samples are nearer than 95 % of the training images are to each other.'
    )
    report_transparency(data, samples)
    return neighbour_sheet(found, samples, data, args.rows), numbers


def opened(sources: Sequence[str], size: Any, background: str | None) -> 'list[ImageDataset]':
    """Open the data sets `sources`; raise an InputError if `size` is given and none of them has image files."""
    from mmcm.apis.data.resolve_dataset import build_images, dataset_config, on_background

    configs = on_background([dataset_config(source, size) for source in sources], background)
    check_size(size, dict(zip(sources, configs)))
    return [build_images(config) for config in configs]


def read_like(model: 'ImageDataset', data: 'ImageDataset', source: str, args: Namespace) -> 'ImageDataset':
    """Return `data`, reopened from `source` with the channels of `model` if possible.

    Files are decoded to colours by default, since grey images are not known in advance.
    """
    from mmcm.apis.data.resolve_dataset import find_dataset

    ours, theirs = (len(images[0]['inputs']) if len(images) else 0 for images in (data, model))
    if ours == theirs or {ours, theirs} != {1, 3}:
        return data
    return find_dataset(source, args.size, theirs, args.background if data.transparency else None)


def drawn(model: str, number: int) -> 'ImageDataset':
    """Return samples of a model as a data set."""
    from mmcm.apis.inferencer import ConsistencyModelInferencer
    from mmcm.datasets.image_arrays import ImageArrays

    inferencer = ConsistencyModelInferencer(model)
    labels = None if inferencer.model.num_classes is None else 'balanced'
    result = inferencer.sample(inferencer.request(number, labels), progress=True)
    return ImageArrays([result.pixels], None, (), 'drawn')


def extractor_of(name: str, *words: str) -> Any:
    """Return the feature extractor of a type with settings, or that of the metrics in a config."""
    from mmcm.apis.data.resolve_dataset import named_config
    from mmcm.evaluation.features.shared import shared_extractor
    from mmcm.registry import MODELS

    if MODELS.get(name) is not None:
        return shared_extractor(dict(type=name, **as_values(settings('--features', words))))
    if words:
        raise InputError(f'there is no extractor {name!r} that {" ".join(words)} could be settings of.')
    config = first_extractor(named_config(name).get('test_evaluator'))
    if config is None:
        raise InputError(f'{name} names no extractor: it has no test_evaluator with one.')
    return shared_extractor(config)


def dataset(args: Namespace) -> tuple:
    """Make a grid of a data set."""
    from mmcm.apis.analysis.dataset_grid import dataset_sheet, described

    (data,) = opened([args.data], args.size, args.background)
    pixels, numbers = dataset_sheet(data, args.rows, args.columns, args.seed, args.measured, progress=True)
    print(described(numbers))
    report_transparency(data)
    return pixels, numbers


def pipeline(args: Namespace) -> tuple:
    """Make a grid of training images after each transform."""
    from mmcm.apis.analysis.pipeline_grid import pipeline_config, pipeline_sheet

    config = pipeline_config(args.data, args.size, args.background)
    return pipeline_sheet(config, args.rows, args.draws, args.seed), None


def log(args: Namespace) -> tuple:
    """Plot the logs of trainings."""
    from mmcm.apis.analysis.training_log import described, draw_logs, read_log

    logs = [read_log(run) for run in args.runs]
    print(*map(described, logs), sep='\n')
    return draw_logs(logs), dict(runs=[each.numbers() for each in logs])


FIGURES = dict(calls=calls, seeds=seeds, neighbours=neighbours, dataset=dataset, pipeline=pipeline, log=log)


def settings(argument: str, words: Sequence[str]) -> dict[str, str]:
    """Return KEY=VALUE words as a dictionary of texts."""
    wrong = [word for word in words if '=' not in word[1:]]
    if wrong:
        raise InputError(f'{argument} takes KEY=VALUE pairs after the first word, got {wrong[0]!r}.')
    return dict(word.split('=', 1) for word in words)
