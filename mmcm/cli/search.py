"""`tools/search_timesteps.py`: find the best noise levels of a multistep sampler."""

import json
from argparse import Namespace
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from mmengine.config import Config

from mmcm.cli.config import add_runner_arguments, runner_config
from mmcm.cli.errors import command
from mmcm.cli.model_arguments import EMA_HELP, add_measured_arguments, settle_measured
from mmcm.cli.parser import CommandParser
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.files import check_file, write_bytes
from mmcm.utils.interrupts import advising
from mmcm.utils.locks import is_first_process, locked
from mmcm.utils.outputs import claimed, next_free

EVALUATIONS = 'evaluations.json'  # in the work directory


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Find the best noise levels of a multistep sampler, and write them as a config. A stopped search goes on when '
        'the same command is given again: every evaluation is kept in the work directory.',
        prog,
        examples=(
            '--model digits --steps 2 --metric frechet/distance',
            'ect_1xb32_digits-8x8 --model work_dirs/ect_1xb32_digits-8x8 --steps 4 --method grid --num-scales 40',
        ),
    )
    add_measured_arguments(parser)
    parser.add_integer('--steps', 'network evaluations (NFE), 2 or more, the first at the highest level', 2, 'K')
    text = 'what to judge by, a metric of the config; default: %(default)s'
    parser.add_argument('--metric', default='frechet/distance', help=text)
    parser.add_argument('--better', choices=['lower', 'higher'], help='which values are better; known for our metrics')
    parser.add_argument(
        '--method',
        choices=['ternary', 'grid'],
        default='ternary',
        help='ternary: level by level, as in the paper; grid: a coarse grid for all together, refined around its best '
        'point',
    )
    parser.add_integer('--grid-points', 'of the coarse grid, for each level', 6)
    text = "search among N levels, the end without noise counted; default: those of the sampler's schedule"
    parser.add_integer('--num-scales', text)
    parser.add_argument(
        '--spacing',
        choices=['karras', 'log'],
        default='karras',
        help="how they are spaced: as the models' schedules, or by equal factors",
    )
    parser.add_argument('--ema', help=EMA_HELP)
    parser.add_integer('-n --num-images', 'images per evaluation, whatever the config says')
    parser.add_deprecated('--num-samples', '--num-images')
    parser.add_integer('--seed', 'seed of the samples, whatever the config says', metavar=None)
    parser.add_argument(
        '--out',
        type=Path,
        help='the config to write; the table is written beside it, as .json; '
        'default: <work dir>/<config>_<K>steps.py, with a number behind it where that is there',
    )
    add_runner_arguments(parser)
    parser.add_force()
    args = parser.parse_args(argv)
    settle_measured(args)
    for name in ('steps', 'num_images', 'grid_points'):
        if getattr(args, name) is not None:
            check_count(f'--{name.replace("_", "-")}', getattr(args, name), least=2 if name == 'steps' else 1)
    if args.out and args.out.suffix != '.py':
        raise InputError(f'--out is a config and has to end in .py, got {args.out}.')
    return args


def search(config: Config, args: Namespace) -> None:
    """Search, print the table, and write it and the config of the best sampler."""
    from mmengine.dist import is_main_process  # torch is loaded only to sample

    from mmcm.apis.evaluation import timestep_search
    from mmcm.apis.evaluation.evaluation_cache import EvaluationCache
    from mmcm.apis.evaluation.named_samplers import OWN, choose_samplers
    from mmcm.apis.evaluation.scores import plain, show
    from mmcm.apis.evaluation.tester import Tester, check_test_parts, set_requests
    from mmcm.cli.building import built_from_config
    from mmcm.cli.settings import TEST, check_settings
    from mmcm.utils.provenance import versions

    check_settings(config, TEST)
    args.checkpoint = args.checkpoint or config.get('checkpoint')
    if args.checkpoint is None:
        raise InputError(f'{args.config} names no checkpoint: give one, a path, URL, work directory or zoo name.')
    args.checkpoint = str(args.checkpoint)
    set_requests(config, num_samples=args.num_images, seed=args.seed)
    check_test_parts(config)
    sampler = choose_samplers(config, args.checkpoint)[OWN]
    levels = timestep_search.levels_of(sampler, args.num_scales, args.spacing)
    if args.steps > len(levels):
        raise InputError(
            f'{args.steps} steps need as many levels, and the schedule has {len(levels)} with noise: set '
            '--num-scales to more.'
        )
    if args.method == 'grid' and args.grid_points < args.steps - 1:
        raise InputError(f'{args.steps} steps need a grid of at least {args.steps - 1} points, got {args.grid_points}.')
    lower = args.better == 'lower' if args.better else timestep_search.is_lower_better(args.metric)
    cache = EvaluationCache(Path(config.work_dir) / EVALUATIONS)
    with built_from_config(config):
        tester = Tester(config, args.checkpoint, [args.ema])
        found = timestep_search.search_levels(
            tester, cache, sampler, levels, args.metric, lower, args.steps, args.method, args.grid_points
        )
    if not is_main_process():
        return
    rows = [
        [
            ' '.join(map(str, indices)),
            ' '.join(f'{levels[index]:.4g}' for index in indices),
            'nan' if value is None else f'{value:.6g}',
            '*' if indices == found.best else '',
        ]
        for indices, value in sorted(found.values.items())
    ]
    show([['indices', 'sigmas', args.metric, 'best'], *rows])
    print(f'{found.num_new} of {len(found.values)} evaluations are new')
    value = found.values[found.best]
    note = (
        f'{args.metric} {value:.6g} of {tester.num_samples} images, found by mmcm search --method '
        f'{args.method} among {len(found.values)} choices'
    )
    snippet = timestep_search.snippet(config.filename, found.sampler, args.checkpoint, note)
    write_bytes(args.out, snippet.encode(errors='backslashreplace'))
    table = dict(
        metric=args.metric,
        better='lower' if lower else 'higher',
        method=args.method,
        checkpoint=args.checkpoint,
        ema=tester.ema,
        weights=tester.weights,
        requests=plain(config.test_dataloader.dataset),
        levels=levels,
        best=dict(indices=found.best, sampler=plain(found.sampler), value=value),
        versions=versions(),
        evaluations=[
            dict(indices=indices, sigmas=[levels[index] for index in indices], value=value)
            for indices, value in sorted(found.values.items())
        ],
    )
    write_bytes(table_beside(args.out), (json.dumps(table, indent=2) + '\n').encode())
    print(f'Wrote {args.out}')


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    config = runner_config(args, subfolder='search')
    from mmcm.cli.runner import prepare  # torch is loaded for arguments in order

    prepare(config, args)
    if args.out is None:
        found = Path(config.work_dir) / f'{Path(args.config).stem}_{args.steps}steps.py'
        args.out = found if args.force else next_free([found, table_beside(found)])[0]
    evaluations = Path(config.work_dir) / EVALUATIONS
    check_file(evaluations)
    with (
        locked(evaluations, 'being written') if is_first_process() else nullcontext(),
        claimed({'--out': [args.out, table_beside(args.out)]}, args.force),
        advising('What has been evaluated is kept: the same command goes on from there.'),
    ):
        search(config, args)


def table_beside(config: Path) -> Path:
    """Return the path of the table of all evaluations, beside the config of the best sampler."""
    return config.with_suffix('.json')
