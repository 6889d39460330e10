"""`mmcm score-edits`: measure how well a model edits images, beside baselines that need no model."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcm.cli.config import report_transparency
from mmcm.cli.errors import command
from mmcm.cli.model_arguments import add_model_arguments, build_inferencer
from mmcm.cli.parser import CommandParser
from mmcm.cli.report import evaluations
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.files import write_bytes
from mmcm.utils.image_shape import plain_size
from mmcm.utils.outputs import check_outputs, claimed

if TYPE_CHECKING:  # which loads torch
    from mmcm.apis.evaluation.edit_scores import EditScores
    from mmcm.apis.inferencer import ConsistencyModelInferencer
    from mmcm.evaluation.edit_baselines import Edit
    from mmcm.samplers.base import Sampler

EDITS = ('colorize', 'super-resolve', 'inpaint')
HELD_OUT = dict(type='PhotoPatches', split='test')
LEARNED = dict(type='PhotoPatches', split='train')
MOST_LEARNED = 1000  # images that the mean colour is computed from, at most
ROWS = 8  # of a grid


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Measure by PSNR and SSIM how well a model restores the colours of images, their details, and a square in the '
        'middle (a quarter of the pixels), beside simple methods that need no model.',
        prog,
        examples=(
            '--model photo_patches --out scores.json --sheets grids',
            '--model cd_cat256_lpips --data cats/test --learned cats/train --num-images 100 --out scores.json',
        ),
    )
    add_model_arguments(parser)
    parser.add_argument(
        '--data',
        help="images to edit: a folder or a zip, an npz, an lmdb, a config; default: patches of scikit-learn's "
        'photographs that are held out in the recipes',
    )
    parser.add_argument(
        '--learned',
        metavar='DATA',
        help='images that the model was trained on, whose mean colour is the simplest colorization; default: the other '
        'patches',
    )
    parser.add_background()
    parser.add_argument(
        '--edits',
        nargs='+',
        choices=EDITS,
        metavar='EDIT',
        help=f'which of {", ".join(EDITS)}; default: all, for models of grey images all but colorize',
    )
    parser.add_integer('--factor', 'of super-resolve', 4)
    text = 'images at most, at even distances among those that have no pixel in common'
    parser.add_integer('-n --num-images', text, 256)
    parser.add_integer('--num-candidates', 'results per image', 8, 'K')
    parser.add_integer('--seed', 'seed of the results', 0, None)
    levels = parser.add_mutually_exclusive_group()
    levels.add_argument('--steps', type=int, metavar='N', help='number of steps; default: as many as mmcm edit takes')
    levels.add_argument('--sigmas', type=float, nargs='+', metavar='S', help='noise levels, descending, such as 80 9 1')
    parser.add_device()
    parser.add_argument('--out', type=Path, required=True, metavar='PATH', help='JSON file for the scores')
    parser.add_argument('--sheets', type=Path, metavar='FOLDER', help='folder for a grid of images of each edit')
    parser.add_force()
    args = parser.parse_args(argv)
    check_count('--num-images', args.num_images, least=2)  # one has no standard error
    check_count('--num-candidates', args.num_candidates)
    if args.out.suffix != '.json':
        raise InputError(f'--out is a JSON file and has to end in .json, got {args.out}.')
    return args


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    check_outputs({'--out': args.out}, args.force)
    # torch is loaded only for arguments in order
    from mmcm.apis.data.resolve_dataset import find_dataset
    from mmcm.apis.evaluation import edit_scores
    from mmcm.apis.evaluation.scores import show
    from mmcm.models.editing import editing_sampler

    inferencer = build_inferencer(args, device=args.device, dtype='float32')
    sampler = editing_sampler(inferencer.sampler)
    if args.steps is not None or args.sigmas is not None:
        sampler = inferencer.choose_sampler(args.steps, sigmas=args.sigmas)
    channels, *sides = inferencer.model.image_shape
    size = plain_size(sides)
    edits = find_edits(args, channels, size)
    dataset = find_dataset(args.data or dict(HELD_OUT, size=size), size, channels, args.data and args.background)
    items = edit_scores.spread_out(dataset, args.num_images)
    images = edit_scores.read_pictures(dataset, items)
    report_transparency(dataset)
    labels = None if inferencer.model.num_classes is None or dataset.labels is None else dataset.labels[items]
    for edit in edits.values():  # images that do not fit are refused before anything is sampled
        edit_scores.fill_without_model(inferencer, images[:1], edit)
    sheets = None if args.sheets is None else [args.sheets / f'{name}.png' for name in edits]
    with claimed({'--out': args.out, '--sheets': sheets}, args.force, {'--data': args.data, '--learned': args.learned}):
        scores = score(inferencer, images, edits, labels, sampler, args)
        write_bytes(
            args.out,
            edit_scores.record(
                inferencer, args.model, dataset.fingerprint, items, sampler, args.num_candidates, args.seed, scores
            ),
        )
    rows = [['edit', 'by', 'PSNR', '+-', 'pooled', '+-', 'SSIM', '+-']]
    for name, each in scores.items():
        for way, values in each.summary().items():
            cells = [
                f'{number:.{digits}f}'
                for key, digits in (('psnr', 2), ('pooled_psnr', 2), ('ssim', 4))
                for number in values[key].values()
            ]
            rows.append([name, way, *cells])
    show(rows)
    seconds = sum(each.seconds for each in scores.values())
    print(
        f'Generated {args.num_candidates} candidates for each of {len(items)} images with {inferencer.checkpoint} in '
        f'{seconds:.1f} s on {inferencer.device}, {evaluations(inferencer.model.nfe(sampler), "candidate")}: {args.out}'
    )


def score(
    inferencer: 'ConsistencyModelInferencer',
    images: Any,
    edits: 'dict[str, Edit]',
    labels: Any,
    sampler: 'Sampler',
    args: Namespace,
) -> 'dict[str, EditScores]':
    """Score each edit of `images`, and write the grids that `args` ask for."""
    from mmcm.apis.evaluation import edit_scores
    from mmcm.utils.images import write_image
    from mmcm.utils.provenance import record_of, shown_source

    scores, count = {}, len(images)
    for name, edit in edits.items():
        scores[name] = edit_scores.score_edit(
            inferencer, images, edit, labels, args.num_candidates, args.seed, sampler, progress=True
        )
        if args.sheets is not None:
            shown = range(count) if count <= ROWS else [row * count // ROWS for row in range(ROWS)]
            sheet = scores[name].sheet(shown, list(edit.baselines)[-1])
            facts = dict(model=shown_source(inferencer.name), weights=inferencer.weights_digest, seed=args.seed)
            write_image(args.sheets / f'{name}.png', sheet, record_of('score-edits', edit=name, **facts))
    return scores


def find_edits(args: Namespace, channels: int, size: Any) -> 'dict[str, Edit]':
    """Return the edits of `args` that a model of images of `channels` channels and of `size` can do."""
    from mmcm.apis.data.resolve_dataset import find_dataset
    from mmcm.apis.evaluation import edit_scores
    from mmcm.evaluation.edit_baselines import standard_edits

    names = args.edits or (EDITS if channels == 3 else EDITS[1:])
    colour = None
    if 'colorize' in names:
        if channels != 3:
            raise InputError(
                f'the model generates images of {channels} channel, without colours: leave colorize out of --edits.'
            )
        learned = find_dataset(
            args.learned or dict(LEARNED, size=size), size, channels, args.learned and args.background
        )
        items = edit_scores.spread_out(learned, MOST_LEARNED)
        colour = edit_scores.mean_colour(edit_scores.read_pictures(learned, items))
    edits = standard_edits(size, colour, args.factor)
    return {name: edits[name] for name in names}
