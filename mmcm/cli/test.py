"""`tools/test.py`: sample from a checkpoint and measure the images, or measure existing images."""

import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from mmengine.config import Config

from mmcm.cli.config import add_runner_arguments, runner_config
from mmcm.cli.errors import command
from mmcm.cli.model_arguments import EMA_HELP, add_guidance_arguments, add_measured_arguments, settle_measured
from mmcm.cli.parser import CommandParser
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.files import check_file, write_bytes
from mmcm.utils.outputs import check_outputs, claimed, folder_made

if TYPE_CHECKING:  # which loads torch
    from mmcm.apis.evaluation.scores import Score

SOME_FILE = 'config.npz'  # a typical name in the folder of --out-dir, for the checks


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Sample images from a checkpoint with one sampler or several, or take existing images, and compute the metrics '
        'of the config.',
        prog,
        examples=(
            '--model digits',
            '--model digits --samplers onestep,twostep,fourstep --out scores.json --out-dir samples',
            'ict_1xb32_digits-8x8 --model work_dirs/ict_1xb32_digits-8x8 --emas 0.999,online -n 500',
            'cd_1xb32_digits-8x8 --samples mine.npz theirs.zip',
        ),
    )
    add_measured_arguments(parser)
    parser.add_argument(
        '--samplers',
        type=listed,
        metavar='NAME,...',
        help="which samplers: names in the config's `samplers`, 'config' (model.sampler, the default) and 'onestep' "
        '(its first level alone)',
    )
    averages = parser.add_mutually_exclusive_group()
    averages.add_argument('--ema', help=EMA_HELP)
    averages.add_argument('--emas', type=listed, metavar='EMA,...', help='several of them, each with each sampler')
    parser.add_argument(
        '--samples',
        nargs='+',
        metavar='PATH',
        help='generate nothing and measure these images: .npz (arr_0 uint8 NHWC, arr_1 labels), .zip or folder of '
        'images, with dataset.json for labels',
    )
    parser.add_background()
    parser.add_integer('-n --num-images', 'how many images, whatever the config says')
    parser.add_deprecated('--num-samples', '--num-images')
    parser.add_integer('--seed', 'seed of the samples, whatever the config says', metavar=None)
    parser.add_argument('--out', type=Path, help='JSON file for the scores and all that they depend on')
    parser.add_argument('--out-dir', type=Path, help='folder for the images: an .npz for each sampler and average')
    add_guidance_arguments(parser)
    add_runner_arguments(parser)
    parser.add_force()
    args = parser.parse_args(argv)
    settle_measured(args)
    if args.samples:
        sampling = ('checkpoint', 'samplers', 'ema', 'emas', 'num_images', 'seed', 'out_dir')
        guiding = ('guidance', 'guidance_interval')
        given = [name for name in (*sampling, *guiding) if getattr(args, name) is not None]
        if given:
            raise InputError(f'with --samples nothing is generated: leave out {", ".join(given)}.')
    elif args.background is not None:
        raise InputError('--background is for --samples: the data of the config has its own setting, background.')
    if args.num_images is not None:
        check_count('--num-images', args.num_images)
    return args


def listed(text: str) -> list[str]:
    """Return the parts of a list with commas."""
    parts = list(dict.fromkeys(part.strip() for part in text.split(',') if part.strip()))
    if not parts:
        raise ArgumentTypeError(f'a list of names with commas is expected, got {text!r}')
    return parts


def measure_samplers(config: Config, args: Namespace) -> 'list[Score]':
    """Measure each of the samplers with each of the averages."""
    from mmcm.apis.evaluation.named_samplers import OWN, choose_samplers
    from mmcm.apis.evaluation.saved_samples import check_saving  # torch is loaded only to sample
    from mmcm.apis.evaluation.tester import Tester
    from mmcm.cli.building import built_from_config

    averages = args.emas or [args.ema]
    samplers = choose_samplers(config, args.checkpoint, args.samplers or [OWN])
    places = {}
    with built_from_config(config):
        tester = Tester(config, args.checkpoint, averages)
        if args.out_dir:
            places = {
                (average, name): args.out_dir / f'{name}{f"_{average}" if args.emas else ""}.npz'
                for average in averages
                for name in samplers
            }
            channels, height, width = tester.model.image_shape
            check_saving(list(places.values()), (tester.num_samples, height, width, channels))
        scores: list[Score] = []
        with claimed({'--out-dir': list(places.values())}, args.force):
            for average in averages:
                if scores:
                    tester.load(average)
                scores += [
                    tester.measure(name, sampler, places.get((average, name))) for name, sampler in samplers.items()
                ]
    return scores


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    read = {'--samples': args.samples, '--checkpoint': args.checkpoint, 'CONFIG': args.config}
    check_outputs({'--out': args.out}, args.force, read)
    config = runner_config(args, subfolder='test')  # training keeps its own config there
    from mmcm.apis.evaluation.tester import (
        evaluator_config,
        set_guidance,
        set_requests,
    )  # torch is loaded for arguments in order
    from mmcm.cli.runner import prepare
    from mmcm.cli.settings import TEST, check_settings

    if args.checkpoint is None and config.get('checkpoint') and not args.samples:
        args.checkpoint = config.checkpoint
        print(f'note: measuring {args.checkpoint}, the checkpoint that the config names', file=sys.stderr)
    check_settings(config, TEST)
    set_requests(config, num_samples=args.num_images, seed=args.seed)
    set_guidance(config, args.guidance, args.guidance_interval)
    config.test_evaluator = evaluator_config(config)  # as the file of scores records it
    prepare(config, args)
    with ExitStack() as stack:
        stack.enter_context(claimed({'--out': args.out}, args.force, read))
        if args.out_dir:
            stack.enter_context(folder_made(args.out_dir / SOME_FILE))
            check_file(args.out_dir / SOME_FILE)
        measure(config, args)


def measure(config: Config, args: Namespace) -> None:
    """Measure the images of `args`, print the scores and write them."""
    from mmengine.dist import is_main_process

    from mmcm.apis.evaluation.scores import plain, record, show, table
    from mmcm.apis.evaluation.tester import check_test_parts

    requests = None
    if args.samples:
        from mmcm.apis.evaluation.image_sets import measure_image_sets

        args.checkpoint = None
        scores = measure_image_sets(config, args.samples, args.background)
    else:
        check_test_parts(config)
        if args.checkpoint is None:
            raise InputError(f'{args.config} names no checkpoint: give one, a path, URL, work directory or zoo name.')
        args.checkpoint = str(args.checkpoint)
        requests = plain(config.test_dataloader.dataset)
        scores = measure_samplers(config, args)
    if is_main_process():
        show(table(scores))
        if args.out:
            write_bytes(args.out, record(scores, config, args.checkpoint, requests))
