"""Fuzz the parsers: python tests/fuzz/worker.py --count 200 [--targets npz,...] [--first SEED].

Each parser has a process of its own, whose memory is bounded, since a fault of a parser may end it. An InputError is an
answer; anything else is a failure, printed with what makes it again.
"""

import argparse
import json
import mmap
import os
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

MEMORY = 2**29  # bytes that a parser may take beyond those of a process that has imported everything
SHOWN = 3  # failures of a parser


def fuzz(name, first, count, folder, place, report):
    """Have a parser read inputs, and write the failures to the file `report`."""
    from targets import TARGETS, make, run_content

    from mmcm.utils.errors import InputError

    taken = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    warnings.simplefilter('ignore')
    for sample in TARGETS[name].samples:  # which are valid
        run_content(name, sample, folder / 'input')
    failures, refused = [], 0
    for seed in range(first, first + count):
        place[:8] = seed.to_bytes(8, 'little')
        signal.alarm(120)  # an input that takes so long ends the process
        try:
            run_content(name, make(name, seed), folder / 'input')
        except InputError as error:
            refused += 1
            if '\n' in str(error).strip():
                failures.append((seed, f'a message of several lines: {error}'))
        except Exception:
            failures.append((seed, traceback.format_exc()))
    signal.alarm(0)
    report.write_text(json.dumps(dict(failures=failures, refused=refused)))


def main():
    """Fuzz, print what was found, and end with 1 if that is anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--count', type=int, default=200, help='inputs for each parser')
    parser.add_argument('--first', type=int, default=0, help='seed of the first input')
    parser.add_argument('--targets', help='parsers, with commas; all by default')
    parser.add_argument('--share', default='0/1', help='K/N: every N-th of the parsers, from the K-th')
    args = parser.parse_args()
    import torch
    from targets import TARGETS, diffusers_files

    torch.set_num_threads(1)
    diffusers_files()  # before processes are forked, which find it then
    part, parts = map(int, args.share.split('/'))
    names = args.targets.split(',') if args.targets else list(TARGETS)[part::parts]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            place, report = mmap.mmap(-1, 8), Path(folder) / f'{name}.json'
            process = os.fork()
            if not process:
                try:
                    fuzz(name, args.first, args.count, Path(folder), place, report)
                    os._exit(0)
                except BaseException:
                    traceback.print_exc()
                    os._exit(1)
            status = os.waitpid(process, 0)[1]
            if report.is_file():
                found = json.loads(report.read_text())
            else:
                seed = int.from_bytes(place[:8], 'little')
                found = dict(failures=[(seed, f'the process ended with status {status}')], refused=0)
            failed += len(found['failures'])
            print(
                f'{name}: {args.count} inputs, {found["refused"]} refused, {len(found["failures"])} failures',
                flush=True,
            )
            for seed, reason in found['failures'][:SHOWN]:
                print(f'python tests/fuzz/worker.py --targets {name} --first {seed} --count 1\n{reason}', flush=True)
    sys.exit(failed > 0)


if __name__ == '__main__':
    main()
