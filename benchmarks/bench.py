"""Run benchmarks in turn, each in a process of its own, and write their figures to a page and to JSON."""

import json
import subprocess
import sys
import time
from argparse import ArgumentParser
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import torch
from measure import HEAD, Row, machine, write

TOPICS = {  # module: what it measures
    'limits': 'products and convolutions of the machine',
    'network': 'one evaluation of the ImageNet network, against diffusers',
    'sampling': 'one call for digits, against diffusers',
    'compiled': 'the same with a compiled network',
    'start': 'from nothing to one image, against diffusers: time and memory',
    'precision': 'what auto chooses, against float32: time and PSNR',
    'bulk': 'files and edits, against bare evaluations',
    'training_step': 'a training step, against bare evaluations and the optimiser',
    'throughput': 'images per second by precision and batch size, against diffusers; for GPUs',
}
DEFAULT = tuple(name for name in TOPICS if name != 'throughput')
RESULTS = Path(__file__).parent / 'results.md'


def main() -> None:
    """Run the topics."""
    topics = '\n'.join(f'{name}: {text}' for name, text in TOPICS.items())
    parser = ArgumentParser(description=f'{__doc__} Topics: {topics}')
    parser.add_argument('topics', nargs='*', metavar='TOPIC', help=f'default: {" ".join(DEFAULT)}')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--rounds', type=int, default=5, help='pairs of each comparison; default: %(default)s')
    parser.add_argument('--compile', action='store_true', help='compiled networks, too, in throughput on GPUs')
    parser.add_argument('--out', type=Path, default=RESULTS, help='page to write, JSON beside it; default: %(default)s')
    parser.add_argument('--rows', action='store_true', help='print the rows of one topic as JSON, and write nothing')
    args = parser.parse_args()
    unknown = set(args.topics) - set(TOPICS)
    if unknown:
        parser.error(f'no topic {", ".join(sorted(unknown))}; there are {", ".join(TOPICS)}')
    if args.rows:
        print(json.dumps([asdict(row) for name in args.topics for row in import_module(name).measure(args)]))
        return
    about = machine(args.device)  # before the benchmarks themselves load the machine
    rows: list[Row] = []
    failed = []
    for name in args.topics or DEFAULT:
        started = time.monotonic()
        found = in_own_process(name, args)
        if found is None:
            failed.append(name)
            continue
        rows += found
        print(
            f'\n{name} ({time.monotonic() - started:.0f} s)\n{HEAD}',
            *(row.text() for row in found),
            sep='\n',
            flush=True,
        )
        write(args.out, rows, about)  # what is measured stays if a later topic is stopped
    if failed:
        sys.exit(f'failed: {", ".join(failed)}')


def in_own_process(name: str, args) -> list[Row] | None:
    """Return the rows of a topic, None if it fails, whose errors are on stderr."""
    options = ['--device', args.device, '--rounds', str(args.rounds), *(['--compile'] if args.compile else [])]
    done = subprocess.run([sys.executable, __file__, name, '--rows', *options], stdout=subprocess.PIPE, text=True)
    return None if done.returncode else [Row(**row) for row in json.loads(done.stdout.splitlines()[-1])]


if __name__ == '__main__':
    main()
