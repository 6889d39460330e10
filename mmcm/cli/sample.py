"""`mmcm sample`: sample any number of images into files, by any number of processes."""

from argparse import Namespace
from collections.abc import Sequence

from mmcm.cli.errors import command
from mmcm.cli.launch import HELP, LAUNCHERS, processes
from mmcm.cli.model_arguments import add_guidance_arguments, add_model_arguments, add_step_arguments, build_inferencer
from mmcm.cli.parser import CommandParser
from mmcm.cli.report import evaluations
from mmcm.utils.interrupts import advising
from mmcm.utils.wording import counted


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Generate any number of images as files. A stopped run goes on when the same command is given again.',
        prog,
        examples=(
            '--model digits --labels 3 1 4 --out pi.png',
            '--model digits -n 100 --labels balanced --out grid.png',
            '--model digits -n 2000 --labels balanced --seed 0 --out x.npz x.zip',
            '--model cd_imagenet64_lpips -n 4 --labels "king penguin" 207 --steps 2 --out penguins',
            '--model edm_imagenet64_ema -n 50000 --sampler num_steps=40 s_churn=0 --out edm.npz',
        ),
    )
    add_model_arguments(parser)
    parser.add_integer('-n --num-images', 'how many; default: one per label, or 1')
    parser.add_argument(
        '--labels',
        nargs='+',
        metavar='LABEL',
        help="classes as numbers or names, repeated as often as need be; or 'balanced' (0, 1, 2, ... in turn); or "
        "'random', by the seed, which is the default",
    )
    parser.add_integer('--seed', 'seed of the run', 0, None)
    add_step_arguments(parser)
    add_guidance_arguments(parser)
    parser.add_integer('--batch-size', 'images per network evaluation; default: by their size and the device')
    text = 'do not clip the estimates of several steps to the range of images'
    parser.add_argument('--no-clip', action='store_true', help=text)
    parser.add_device(', one for each process')
    parser.add_dtype()
    parser.add_compile()
    parser.add_argument(
        '--out',
        nargs='+',
        action='extend',
        required=True,
        metavar='PATH',
        help='where to write, by the suffix: .npz (arr_0 uint8 NHWC, arr_1 labels), .zip of PNGs, .png (one grid of '
        'all), or a folder for PNGs; several make the same images into several forms',
    )
    parser.add_force()
    parser.add_integer('--columns', 'images per row of a grid')
    parser.add_argument('--launcher', choices=LAUNCHERS, help=HELP)
    return parser.parse_args(argv)


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    from mmcm.apis.sampling.bulk import sample_to_files  # torch is loaded only to sample

    rank, world_size, local_rank = processes(args.launcher)
    device = device_of(args.device, local_rank)
    inferencer = build_inferencer(args, device=device, dtype=args.dtype, compile=args.compile)
    with advising('What has been sampled is kept: the same command goes on from there.'):
        done = sample_to_files(
            inferencer,
            args.out,
            args.num_images,
            args.labels,
            args.seed,
            batch_size=args.batch_size,
            columns=args.columns,
            clip=not args.no_clip,
            rank=rank,
            world_size=world_size,
            progress=True,
            force=args.force,
            num_steps=args.steps,
            timesteps=args.timesteps,
            sigmas=args.sigmas,
            guidance=args.guidance,
            guidance_interval=args.guidance_interval,
        )
    if rank:
        return
    where = ', '.join(map(str, done.outs))
    if not done.written:
        print(f'Nothing to do, the images of this request are there: {where}')
        return
    num_images = done.num_images
    now = '' if done.num_drawn == num_images else f'{done.num_drawn} of them '
    print(
        f'Wrote {counted(num_images, "image")} of {inferencer.checkpoint}, {now}sampled in {done.seconds:.2f} s on '
        f'{inferencer.device} ({done.num_drawn / max(done.seconds, 1e-9):.4g} images/s), {evaluations(done.nfe)}: '
        f'{where}'
    )


def device_of(name: str | None, local_rank: int) -> str | None:
    """Return the device of a process: its GPU of those of the machine, unless `name` is a single device."""
    if name not in (None, 'cuda'):
        return name
    import torch

    count = torch.cuda.device_count()
    return f'cuda:{local_rank % count}' if count else name
