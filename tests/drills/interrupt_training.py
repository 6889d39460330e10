#!/usr/bin/env python
"""Interrupt trainings at random moments and resume them; each has to end as an undisturbed one, bit for bit.

    python tests/drills/interrupt_training.py --rounds 20

A round is one interrupt. A training is interrupted and resumed until it ends; then the next one begins.
"""

import random
import shutil
import signal
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.interrupted_training import assert_same_end, command, end, interrupt_at_random, start

ITERATIONS = 120
REACH = 50  # iterations at most between two interrupts, so that a training has several
OPTIONS = [
    'default_hooks.checkpoint.interval=40',
    'default_hooks.sample_grid.interval=30',
    'default_hooks.trajectory.interval=30',
    'train_dataloader.num_workers=1',
]
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


def drill(number: int, rounds: int, folder: Path, undisturbed: Path, chance: random.Random) -> None:
    """Send `number` to trainings in `folder`, `rounds` times; fail where anything is lost."""
    done, training, arguments = 0, 0, None
    while done < rounds or arguments is not None:
        if arguments is None:
            training += 1
            work_dir = folder / f'{signal.Signals(number).name}_{training}'
            arguments, resumed, lost = command(work_dir, ITERATIONS, *OPTIONS), False, 0
        process = start(arguments + ['--resume'] * resumed)
        place = None
        if done < rounds and lost < ITERATIONS:
            place = interrupt_at_random(process, work_dir, lost + 1, min(lost + REACH, ITERATIONS), number, chance)
        code, out, error = end(process)
        assert 'Traceback' not in out + error, error
        if place is not None and code != 0:
            done += 1
            assert code == CODES[number], (code, error)
            saved = (
                int((work_dir / 'last_checkpoint').read_text().split('_')[-1][:-4])
                if (work_dir / 'last_checkpoint').exists()
                else 0
            )
            print(
                f'{signal.Signals(number).name} round {done}: interrupted in training {training} near iteration '
                f'{place}, saved {saved}',
                flush=True,
            )
            assert saved >= max(place, lost), error  # no iteration that the log names is lost
            resumed, lost = saved > 0 or resumed, saved
        else:
            assert code == 0, error
            assert_same_end(work_dir / f'iter_{ITERATIONS}.pth', undisturbed)
            assert not list(work_dir.glob('.*')), list(work_dir.glob('.*'))
            print(f'training {training} has ended as the undisturbed one', flush=True)
            shutil.rmtree(work_dir)
            arguments = None


def main() -> None:
    """Run the drill."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=20, help='interrupts by each of the signals')
    parser.add_argument(
        '--signals',
        nargs='+',
        choices=[number.name for number in CODES],
        help='default: both',
        default=[number.name for number in CODES],
    )
    parser.add_argument('--seed', type=int, default=0, help='of the moments')
    args = parser.parse_args()
    chance = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / 'undisturbed'
        code, _, error = end(start(command(whole, ITERATIONS, *OPTIONS)))
        assert code == 0, error
        for name in args.signals:
            drill(signal.Signals[name], args.rounds, Path(folder), whole / f'iter_{ITERATIONS}.pth', chance)
    print('nothing was lost')


if __name__ == '__main__':
    main()
