"""`mmcm edit`: a picture of the user's, filled in, coloured or enlarged."""
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from mmcm.cli.errors import command
from mmcm.cli.model_arguments import add_model_arguments, build_inferencer, labels_of
from mmcm.cli.parser import CommandParser
from mmcm.utils.errors import InputError

EXAMPLES = dict(
    inpaint='--img photo.jpg --mask mask.png --model cd_imagenet64_lpips --labels 207 --out dogs.png',
    colorize='--img photo.jpg --model cd_bedroom256_lpips --num-candidates 8 --out coloured',
    super_resolve='--img digit.png --factor 2 --model digits --labels 3 --out large.png')


def parse_args(argv: Optional[Sequence[str]] = None, prog: Optional[str] = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Edit a picture with a model that was not trained for it. What is known of the picture is kept, the rest is '
        'drawn. `mmcm edit TASK --help` tells more.', prog,
        [f'{name.replace("_", "-")} {example}' for name, example in EXAMPLES.items()])
    tasks = parser.add_subparsers(dest='task', required=True, metavar='TASK')

    def add_task(name: str, description: str) -> ArgumentParser:
        task = tasks.add_parser(
            name, help=description, description=description, examples=[EXAMPLES[name.replace('-', '_')]])
        add_common_arguments(task)
        return task

    task = add_task('inpaint', 'Draw parts of a picture anew.')
    task.add_argument(
        '--mask', required=True, metavar='PATH', help='picture of the same size, white where to draw; grey blends')
    add_task('colorize', 'Draw the colours of a picture anew; its brightness stays.')
    task = add_task('super-resolve', 'Draw the details of a picture anew; the means of its patches stay.')
    task.add_argument(
        '--factor',
        type=int,
        required=True,
        metavar='N',
        help='how many times larger the result is. A picture smaller than those of the model by just that factor is '
        'enlarged; any other is first brought to their size and taken to pieces of N x N pixels')
    return parser.parse_args(argv)


def add_common_arguments(parser: ArgumentParser) -> None:
    """Add what all tasks take."""
    parser.add_argument(
        '--img',
        required=True,
        metavar='PATH',
        help='the picture, of any format and size: the model sees its central square, scaled')
    add_model_arguments(parser)
    parser.add_argument(
        '--labels',
        nargs='+',
        metavar='LABEL',
        help='what is in the picture, as the number or the name of a class; one for all candidates or one for each; or '
        "'balanced' (0, 1, 2, ... in turn); or 'random', by the seed, which is the default and rarely fits")
    levels = parser.add_mutually_exclusive_group()
    levels.add_argument(
        '--steps', type=int, metavar='N', help='network calls per candidate; default: 39, and fewer are coarser')
    levels.add_argument('--sigmas', type=float, nargs='+', metavar='S', help='noise levels, descending, such as 80 9 1')
    parser.add_argument(
        '--num-candidates', type=int, default=4, metavar='N', help='how many results; default: %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='seed of the results; default: %(default)s')
    parser.add_argument('--device', help='cpu, cuda, ...; default: the best one present')
    parser.add_argument(
        '--out', required=True, metavar='PATH', help='a picture file for a sheet of all, or a folder for single ones')


@command
def main(argv: Optional[Sequence[str]] = None, prog: Optional[str] = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    # torch is loaded only to draw
    from mmcm.apis.drawing import check_out
    from mmcm.apis.editing import edit
    from mmcm.editing import tasks
    from mmcm.editing.pictures import read_picture

    out = Path(args.out).expanduser()
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f'{out} is a folder that is not empty: name another one, or a picture file for a sheet.')
    for name in ('img', 'mask'):
        if out.resolve() == Path(getattr(args, name, None) or '/').resolve():
            raise InputError(f'--out {out} is the file of --{name}, which it would replace: name another one.')
    picture = read_picture(args.img)
    # Of a mask that was painted on a transparent ground, only the paint counts.
    mask = read_picture(args.mask, background='black') if args.task == 'inpaint' else None
    inferencer = build_inferencer(args, device=args.device)
    shape = inferencer.model.image_shape
    if args.task == 'inpaint':
        image, operator = tasks.inpainting(picture, mask, shape)
    elif args.task == 'colorize':
        image, operator = tasks.colorization(picture, shape)
    else:
        image, operator = tasks.super_resolution(picture, args.factor, shape)
    check_out(out)
    chosen = args.steps is not None or args.sigmas is not None
    sampler = inferencer.choose_sampler(args.steps, sigmas=args.sigmas) if chosen else None
    labels = labels_of(args.labels)
    edited = edit(inferencer, image, operator, labels, args.num_candidates, args.seed, sampler, progress=True)
    written = edited.save(out)
    where = written[0] if len(written) == 1 else f'{len(written)} files in {out}'
    print(f'Drew {args.num_candidates} candidates with {inferencer.checkpoint} in {edited.seconds:.2f} s on '
          f'{inferencer.device}, {edited.num_calls} network call{"s" * (edited.num_calls > 1)} per candidate, from the '
          f'central square of {picture.width} x {picture.height} pixels at {shape[2]} x {shape[1]}: {where}')


if __name__ == '__main__':
    main()
