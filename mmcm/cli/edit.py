"""`mmcm edit`: a picture of the user's, filled in, coloured or enlarged."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from mmcm.cli.errors import command
from mmcm.cli.model_arguments import add_model_arguments, build_inferencer, labels_of
from mmcm.cli.parser import CommandParser
from mmcm.utils.outputs import claimed

EXAMPLES = {  # with models that come with the package
    'inpaint': '--img photo.jpg --mask mask.png --model photo_patches --out filled.png',
    'uncrop': '--img photo.jpg --share 0.5 --model photo_patches --out surrounded.png',
    'colorize': '--img photo.jpg --model photo_patches --num-candidates 8 --out coloured',
    'super-resolve': '--img digit.png --factor 2 --model digits --labels 3 --out large.png',
    'deblur': '--img blurred.jpg --kernel 1 4 6 4 1 --model photo_patches --out sharp.png',
    'stroke': '--img sketch.png --model digits --labels 3 --out drawn.png',
    'variations': '--img photo.jpg --sigmas 3 --model photo_patches --out others.png',
    'denoise': '--img noisy.png --sigma 0.3 --model photo_patches --out clean.png',
    'interpolate': '--seeds 4 7 --labels 3 8 --model digits --out strip.png',
}
OPTIONS = ('mask', 'resize_mask', 'factor', 'share', 'kernel', 'sigma')  # of tasks, as `edit_picture` has them


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Edit a picture with a model that was not trained for it. What is known of the picture is kept, the rest is '
        'drawn. `mmcm edit TASK --help` tells more.',
        prog,
        [f'{name} {example}' for name, example in EXAMPLES.items()],
    )
    tasks = parser.add_subparsers(dest='task', required=True, metavar='TASK')

    def add_task(name: str, description: str) -> CommandParser:
        task = tasks.add_parser(name, help=description, description=description, examples=[EXAMPLES[name]])
        task.set_defaults(run=edit_picture)
        add_picture_arguments(task)
        return task

    task = add_task('inpaint', 'Draw parts of a picture anew.')
    task.add_argument(
        '--mask', required=True, metavar='PATH', help='picture of the same size, white where to draw; grey blends'
    )
    task.add_argument(
        '--resize-mask', action='store_true', help='stretch a mask of another size to the size of the picture'
    )
    task = add_task('uncrop', 'Draw what is around a picture.')
    task.add_argument(
        '--share', type=float, required=True, metavar='S', help='part of height and width that the picture takes'
    )
    add_task('colorize', 'Draw the colours of a picture anew; its brightness stays.')
    task = add_task('super-resolve', 'Draw the details of a picture anew; the means of its patches stay.')
    task.add_argument(
        '--factor',
        type=int,
        required=True,
        metavar='N',
        help='how many times larger the result is. A picture smaller than those of the model by just that factor is '
        'enlarged; any other is first brought to their size and taken to pieces of N x N pixels',
    )
    task = add_task('deblur', 'Sharpen a picture of which it is known how it was blurred.')
    task.add_argument(
        '--kernel',
        type=float,
        nargs='+',
        required=True,
        metavar='W',
        help='an odd number of weights, by which rows and columns were blurred, in pixels at the size of the model',
    )
    add_task('stroke', 'Draw a picture after a sketch in strokes of colour (SDEdit); --sigmas says how freely.')
    add_task('variations', 'Draw pictures that are like a picture; --sigmas says how much.')
    task = add_task('denoise', 'Take noise of a known strength from a picture.')
    task.add_argument(
        '--sigma',
        type=float,
        required=True,
        metavar='S',
        help='standard deviation of the noise, where black is -1 and white 1: that of grey levels divided by 127.5; '
        'with --region square, at the size of the model',
    )

    name, description = 'interpolate', 'Draw pictures on the way from one drawn picture to another.'
    task = tasks.add_parser(name, help=description, description=description, examples=[EXAMPLES[name]])
    task.set_defaults(run=interpolate_seeds)
    task.add_argument('--seeds', type=int, nargs=2, default=[0, 1], metavar='SEED', help='of first and last picture')
    task.add_argument('--labels', nargs='+', metavar='LABEL', help='class of first and last picture, or one for all')
    task.add_argument('-n', '--num-images', type=int, default=9, metavar='N', help='how many; default: %(default)s')
    add_common_arguments(task)
    return parser.parse_args(argv)


def add_picture_arguments(parser: CommandParser) -> None:
    """Add what all tasks that start from a picture take."""
    parser.add_argument('--img', required=True, metavar='PATH', help='the picture, of any format and size')
    parser.add_argument(
        '--region',
        choices=['whole', 'square'],
        help='what is edited: the whole picture in overlapping tiles (of inpaint those around the mask), or its '
        'central square, scaled to the size of the model; default: whole for inpaint, colorize, super-resolve and '
        'denoise, unless it takes more than --max-calls',
    )
    parser.add_argument(
        '--side',
        type=int,
        metavar='N',
        help='shorter side in pixels that a whole picture is scaled to; default: for colorize 64 or that of the model, '
        'for inpaint by the thickness of the mask',
    )
    parser.add_argument(
        '--max-calls',
        type=int,
        default=20000,
        metavar='N',
        help='network calls for a tile that a whole picture may take; default: %(default)s',
    )
    parser.add_argument(
        '--labels',
        nargs='+',
        metavar='LABEL',
        help='what is in the picture, as the number or the name of a class; one for all candidates or one for each; or '
        "'balanced' (0, 1, 2, ... in turn); or 'random', by the seed, which is the default and rarely fits",
    )
    parser.add_argument(
        '--num-candidates', type=int, metavar='N', help='how many results; default: 4, and 1 for denoise'
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the results; default: %(default)s')
    parser.add_argument('--steps-out', metavar='PATH', help='picture file for the results after each step')
    add_common_arguments(parser)


def add_common_arguments(parser: CommandParser) -> None:
    """Add what all tasks take."""
    add_model_arguments(parser)
    levels = parser.add_mutually_exclusive_group()
    levels.add_argument('--steps', type=int, metavar='N', help='number of steps; fewer are coarser')
    levels.add_argument('--sigmas', type=float, nargs='+', metavar='S', help='noise levels, descending, such as 80 9 1')
    parser.add_argument('--device', help='cpu, cuda, ...; default: the best one present')
    parser.add_argument('--dtype', default='float32', help='float32, float16 or bfloat16; default: %(default)s')
    parser.add_argument(
        '--out', required=True, metavar='PATH', help='a picture file for a sheet of all, or a folder for single ones'
    )
    parser.add_force()


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    out = Path(args.out).expanduser()
    steps_out = getattr(args, 'steps_out', None)
    results = {'--out': out, '--steps-out': None if steps_out is None else Path(steps_out).expanduser()}
    pictures = {f'--{name}': getattr(args, name, None) for name in ('img', 'mask')}
    with claimed(results, args.force, pictures, folders=True):
        args.run(args, *results.values())


def edit_picture(args: Namespace, out: Path, steps_out: Path | None) -> None:
    """Edit a picture."""
    # torch is loaded only to draw
    from mmcm.apis.editing.edit import edit as editing
    from mmcm.apis.sampling_result import check_out
    from mmcm.utils.images import check_picture_path, write_picture

    picture = editing.as_picture(args.img, background=None)
    options = {name: getattr(args, name) for name in OPTIONS if name in args}
    inferencer = build_inferencer(args, device=args.device, dtype=args.dtype)
    planned = editing.plan_picture(
        inferencer,
        args.task,
        picture,
        labels_of(args.labels),
        args.num_candidates,
        args.seed,
        args.steps,
        args.sigmas,
        args.region,
        args.side,
        args.max_calls,
        **options,
    )
    if steps_out is not None:  # these make folders, and so only for a request that is in order
        check_picture_path(steps_out)
    check_out(out)
    if planned.tiles is not None:  # which may take long
        print(f'Editing {planned.note}', file=sys.stderr)
    edited = planned.draw(keep_steps=steps_out is not None, progress=True)
    if steps_out is not None:
        write_picture(steps_out, edited.sheet_of_steps())
    written = edited.save(out)
    where = written[0] if len(written) == 1 else f'{len(written)} files in {out}'
    count = len(edited.candidates)
    print(
        f'Drew {count} candidate{"s" * (count > 1)} with {inferencer.checkpoint} in '
        f'{edited.seconds:.2f} s on {inferencer.device}, {edited.num_calls} network call'
        f'{"s" * (edited.num_calls > 1)} per candidate{" and tile" * (edited.num_tiles > 1)}, from {planned.note}: '
        f'{where}'
    )


def interpolate_seeds(args: Namespace, out: Path, steps_out: Path | None = None) -> None:
    """Draw what lies between two seeds, and two labels."""
    from mmcm.apis.sampling.interpolation import interpolation_request
    from mmcm.apis.sampling_result import check_out

    inferencer = build_inferencer(args, device=args.device, dtype=args.dtype)
    sampler = inferencer.choose_sampler(args.steps, sigmas=args.sigmas)
    request = interpolation_request(inferencer, args.seeds, args.labels, args.num_images, sampler)
    check_out(out)
    drawing = inferencer.sample(request)
    written = drawing.save(out, args.num_images)
    where = written[0] if len(written) == 1 else f'{len(written)} files in {out}'
    print(
        f'Drew {args.num_images} images with {inferencer.checkpoint} in {drawing.seconds:.2f} s on '
        f'{inferencer.device}, {drawing.nfe} network call{"s" * (drawing.nfe > 1)} per image: {where}'
    )


if __name__ == '__main__':
    main()
