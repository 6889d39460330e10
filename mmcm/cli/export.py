"""`mmcm export`: write a model as a file that samples without mmcm."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from mmcm.cli.errors import command
from mmcm.cli.model_arguments import add_model_arguments, add_step_arguments, build_inferencer
from mmcm.cli.parser import CommandParser
from mmcm.cli.report import evaluations
from mmcm.utils.outputs import claimed


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Write a model, sampler included, as one file: from noise and labels to images, in batches of any size.',
        prog,
        examples=(
            '--model digits --out digits.onnx',
            '--model cd_imagenet64_lpips --steps 2 --out imagenet.onnx',
            '--model work_dirs/my_run/config.py --checkpoint work_dirs/my_run --ema 0.9999 --out mine.pt2',
        ),
    )
    add_model_arguments(parser)
    add_step_arguments(parser)
    parser.add_argument('--out', required=True, type=Path, help='file to write: .onnx, or .pt2 for torch.export.load')
    parser.add_force()
    return parser.parse_args(argv)


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    args.out = args.out.expanduser()
    with claimed({'--out': args.out}, args.force, {'--model': args.model, '--checkpoint': args.checkpoint}):
        write(args)


def write(args: Namespace) -> None:
    """Write the file that `args` ask for."""
    from mmcm.apis.export import check_export, export  # torch is loaded only to export

    inferencer = build_inferencer(args, device='cpu', dtype='float32')
    sampler = inferencer.choose_sampler(args.steps, args.timesteps, args.sigmas)
    check_export(inferencer.model, args.out)  # before the weights are read, which may take long
    graph, difference = export(inferencer.load().model, args.out, sampler, args.model, progress=True)
    latent, image = (', '.join(map(str, shape)) for shape in (graph.latent_shape, graph.image_shape))
    labels = '' if graph.num_classes is None else f', labels (N,) int64 from 0 to {graph.num_classes - 1}'
    print(
        f'Wrote {args.out} ({args.out.stat().st_size / 1e6:.1f} MB), {evaluations(len(graph.sigmas))}: noise '
        f'(N, {graph.num_draws}, {latent}) float32{labels} -> images '
        f'(N, {image}) float32 in [-1, 1]. Largest difference from torch: {difference:.1e}'
    )
