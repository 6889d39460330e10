"""`mmcm average`: compute another average of a run's weights from those in its checkpoints."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from mmcm.cli.completion import with_models
from mmcm.cli.errors import command
from mmcm.cli.parser import CommandParser
from mmcm.utils.outputs import claimed

COARSE = 0.05  # relative error of a profile from which on it is reported as a warning


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Compute the average of a run with any relative standard deviation from the power-function averages in its '
        'checkpoints (post-hoc EMA), and write it to a safetensors file.',
        prog,
        examples=('work_dirs/my_run --sigma-rel 0.05 --out my_model.safetensors',),
    )
    with_models(parser.add_argument('run', help='work directory of a run whose model.ema_decays have sigma_rel'))
    parser.add_argument(
        '--sigma-rel',
        type=float,
        required=True,
        metavar='S',
        help='standard deviation of the average, relative to the length of the training, such as 0.05',
    )
    parser.add_argument('--out', required=True, help='file to write, ending in .safetensors')
    parser.add_integer('--iteration', 'where the average ends; default: the last checkpoint')
    parser.add_saved_dtype('the file')
    parser.add_force()
    return parser.parse_args(argv)


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    out = Path(args.out).expanduser()
    with claimed({'--out': out}, args.force, {'RUN': args.run}):
        import torch  # loaded only for arguments in order

        from mmcm.apis.post_hoc_average import average_run

        made = average_run(args.run, args.sigma_rel, out, args.iteration, getattr(torch, args.dtype))
    if made.error > COARSE:
        print(
            f'warning: the profile is off by {made.error:.0%}: keep more checkpoints, or choose sigma_rel between '
            'those of the run',
            file=sys.stderr,
        )
    print(
        f'Wrote {out} (sigma_rel={args.sigma_rel:g} at iteration {made.iteration}, from {made.num_averages} saved '
        f'averages; the profile is off by {made.error:.2%})'
    )
