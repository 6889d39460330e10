"""`mmcm edit`: inpaint, colorize, enlarge or otherwise edit an image; options come from `EditRequest`."""

import sys
from argparse import Namespace, _ActionsContainer
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmcm.apis.editing.request import TASKS, Argument, EditRequest, arguments_of
from mmcm.cli.errors import command
from mmcm.cli.model_arguments import add_model_arguments, build_inferencer, labels_of
from mmcm.cli.parser import CommandParser
from mmcm.cli.report import evaluations, report
from mmcm.utils.outputs import claimed
from mmcm.utils.wording import counted

EXAMPLES = {  # with models that come with the package
    'inpaint': '--img photo.jpg --mask mask.png --model photo_patches --out filled.png',
    'uncrop': '--img photo.jpg --share 0.5 --model photo_patches --out surrounded.png',
    'colorize': '--img photo.jpg --model photo_patches --num-candidates 8 --out coloured',
    'super-resolve': '--img digit.png --factor 2 --model digits --labels 3 --out large.png',
    'deblur': '--img blurred.jpg --kernel 1 4 6 4 1 --model photo_patches --out sharp.png',
    'stroke': '--img sketch.png --model digits --labels 3 --out digit.png',
    'variations': '--img photo.jpg --sigmas 3 --model photo_patches --out others.png',
    'denoise': '--img noisy.png --sigma 0.3 --model photo_patches --out clean.png',
    'interpolate': '--seeds 4 7 --labels 3 8 --model digits --out strip.png',
}


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Edit an image with a model that was not trained for it: the known part of the image is kept, the rest is '
        'generated. `mmcm edit TASK --help` lists the options of a task.',
        prog,
        [f'{name} {example}' for name, example in EXAMPLES.items()],
    )
    tasks = parser.add_subparsers(dest='task', required=True, metavar='TASK')
    in_common = arguments_of(EditRequest)
    levels = [declared for declared in in_common if declared.name in ('num_steps', 'sigmas')]
    for name, kind in TASKS.items():
        description = (kind.__doc__ or name).splitlines()[0]
        task = tasks.add_parser(name, help=description, description=description, examples=[EXAMPLES[name]])
        task.set_defaults(run=edit_image)
        add_declared(task, [declared for declared in in_common if declared not in levels])
        task.add_argument('--steps-out', metavar='PATH', help='image file for the results after each step')
        add_common_arguments(task, levels)
        add_declared(task, arguments_of(kind))

    name, description = 'interpolate', 'Generate images between those of two seeds.'
    task = tasks.add_parser(name, help=description, description=description, examples=[EXAMPLES[name]])
    task.set_defaults(run=interpolate_seeds)
    task.add_argument(
        '--seeds', type=int, nargs=2, default=[0, 1], metavar='SEED', help='of the first and the last image'
    )
    task.add_argument(
        '--labels', nargs='+', metavar='LABEL', help='class of the first and the last image, or one for all'
    )
    task.add_integer('-n --num-images', 'how many', 9)
    add_common_arguments(task, levels)
    return parser.parse_args(argv)


def add_declared(parser: _ActionsContainer, declared: Sequence[Argument]) -> None:
    """Add the options that arguments of an edit declare."""
    for each in declared:
        options: dict[str, Any] = dict(dest=each.name, help=each.help)
        if each.type is bool:
            options.update(action='store_true')
        else:
            options.update(required=each.required, default=each.default)
            options.update(type=str if each.type is Path else each.type, metavar=each.metavar)
            if each.many:
                options.update(nargs='+')
            if each.choices is not None:
                options.update(choices=each.choices)
            if not each.required and each.default is not None:
                options['help'] += '; default: %(default)s'
        parser.add_argument(each.option, **options)


def add_common_arguments(parser: CommandParser, levels: Sequence[Argument]) -> None:
    """Add the arguments of all subcommands; of `levels`, the steps or the noise levels, only one may be given."""
    add_model_arguments(parser)
    add_declared(parser.add_mutually_exclusive_group(), levels)
    parser.add_device()
    parser.add_dtype()
    parser.add_compile()
    text = 'an image file for a grid of all, or a folder for single ones'
    parser.add_argument('--out', required=True, metavar='PATH', help=text)
    parser.add_force()


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    out = Path(args.out).expanduser()
    steps_out = getattr(args, 'steps_out', None)
    results = {'--out': out, '--steps-out': None if steps_out is None else Path(steps_out).expanduser()}
    read = {f'--{name}': getattr(args, name, None) for name in ('img', 'mask')}
    with claimed(results, args.force, read, folders=True):
        args.run(args, *results.values())


def edit_image(args: Namespace, out: Path, steps_out: Path | None) -> None:
    """Edit an image."""
    taken = [*arguments_of(EditRequest), *arguments_of(TASKS[args.task])]
    given = {each.name: getattr(args, each.name) for each in taken}
    request = EditRequest.of(args.task, **{**given, 'labels': labels_of(args.labels)})
    # torch is loaded only for arguments in order
    from mmcm.apis.editing import open_image, plan_request
    from mmcm.apis.editing.tasks import opened
    from mmcm.apis.sampling_result import check_out
    from mmcm.utils.images import check_image_path, write_image

    # Images are read before a model is downloaded.
    request = replace(request, img=open_image(request.img, background=None), task=opened(request.task))
    inferencer = build_inferencer(args, device=args.device, dtype=args.dtype, compile=args.compile)
    planned = plan_request(inferencer, request)
    if steps_out is not None:  # these make folders, and so only for a request that is in order
        check_image_path(steps_out)
    check_out(out)
    if planned.tiles is not None:  # which may take long
        print(f'Editing {planned.note}', file=sys.stderr)
    result = planned.run(keep_steps=steps_out is not None, progress=True)
    if steps_out is not None:
        write_image(steps_out, result.sheet_of_steps(), result.provenance)
    written = result.save(out)
    cost = evaluations(result.nfe, f'candidate{" and tile" * (result.num_tiles > 1)}')
    what = counted(len(result.candidates), 'candidate')
    report(what, inferencer, result, written, out, [cost, f'from {planned.note}'])


def interpolate_seeds(args: Namespace, out: Path, steps_out: Path | None = None) -> None:
    """Generate images between those of two seeds and two labels."""
    from mmcm.apis.sampling.interpolation import interpolation_request
    from mmcm.apis.sampling_result import check_out

    inferencer = build_inferencer(args, device=args.device, dtype=args.dtype, compile=args.compile)
    sampler = inferencer.choose_sampler(args.num_steps, sigmas=args.sigmas)
    request = interpolation_request(inferencer, args.seeds, args.labels, args.num_images, sampler)
    check_out(out)
    result = inferencer.sample(request)
    written = result.save(out, args.num_images)
    report(f'{args.num_images} images', inferencer, result, written, out, [evaluations(result.nfe)])
