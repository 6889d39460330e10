"""Measuring in turn: two functions, or two commands, so that a machine that slows down slows both."""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ('torch', 'numpy', 'mmengine', 'mmcv-lite', 'mmcv', 'opencv-python', 'safetensors', 'diffusers', 'mmcm')


@dataclass
class Row:
    """One figure, and the same of a peer where there is one.

    Attributes:
        topic (str): Which benchmark it is of.
        what (str): What was measured.
        unit (str): Of `ours` and `theirs`.
        ours (float): Median.
        peer (str): What it is compared with; '' for nothing.
        theirs (float, optional): Median of the peer.
        ratio (float, optional): Median of ours / theirs, pair by pair.
        low, high (float, optional): Quartiles of the ratio, or of ours without a peer; smallest and largest of fewer
            than four values.
        goal (str): What the ratio, or ours, should be.
    """

    topic: str
    what: str
    unit: str
    ours: float
    peer: str = ''
    theirs: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    goal: str = ''

    @classmethod
    def of(cls, topic: str, what: str, unit: str, ours: Sequence[float], goal: str = '') -> 'Row':
        """Make a row of values without a peer."""
        return cls(topic, what, unit, statistics.median(ours), low=spread(ours)[0], high=spread(ours)[1], goal=goal)

    @classmethod
    def paired(
        cls, topic: str, what: str, unit: str, pairs: Sequence[tuple[float, float]], peer: str, goal: str = ''
    ) -> 'Row':
        """Make a row of pairs, ours first."""
        ratios = [ours / theirs for ours, theirs in pairs]
        ours, theirs = (statistics.median(column) for column in zip(*pairs))
        return cls(topic, what, unit, ours, peer, theirs, statistics.median(ratios), *spread(ratios), goal)

    def text(self) -> str:
        """Return the row of a table."""
        numbers = (self.ours, self.theirs, self.ratio)
        ours, theirs, ratio = ('' if number is None else f'{number:.4g}' for number in numbers)
        range_ = '' if self.low is None else f'{self.low:.3g} to {self.high:.3g}'
        return f'| {self.what} | {ours} | {theirs} | {self.unit} | {ratio} | {range_} | {self.peer} | {self.goal} |'


HEAD = (
    '| what | ours | peer | unit | ratio | quartiles | peer is | goal |\n'
    '| :-- | --: | --: | :-- | --: | :-- | :-- | :-- |'
)


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the quartiles, or the range of fewer than four values."""
    if len(values) < 4:
        return min(values), max(values)
    low, _, high = statistics.quantiles(values, n=4)
    return low, high


def synchronize(device: str | torch.device) -> None:
    """Wait for an accelerator."""
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize()


def seconds(function: Callable[[], object], device: str = 'cpu') -> float:
    """Return how long a call takes."""
    synchronize(device)
    started = time.perf_counter()
    function()
    synchronize(device)
    return time.perf_counter() - started


def in_turn(
    functions: Sequence[Callable[[], object]], rounds: int, device: str = 'cpu', warm_up: int = 1
) -> list[tuple[float, ...]]:
    """Return the seconds of each function in each round; the rounds to warm up do not count."""
    times = [tuple(seconds(function, device) for function in functions) for _ in range(rounds + warm_up)]
    return times[warm_up:]


@dataclass
class Run:
    """A finished process: seconds by the clock and of the processor, and peak of resident memory in MB."""

    wall: float
    cpu: float
    peak: float


# The kernel counts the peak of the process that starts a command as the command's own: a small one starts it.
STARTER = """
import json, os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
wall = time.perf_counter() - started
print(json.dumps([os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
"""


def run(command: Sequence[str]) -> Run:
    """Run a command to its end; a CalledProcessError if it fails."""
    starter = [sys.executable, '-S', '-c', STARTER, *command]
    done = subprocess.run(starter, check=True, stdout=subprocess.PIPE, text=True)
    code, wall, cpu, size = json.loads(done.stdout)
    if code:
        raise subprocess.CalledProcessError(code, command)
    return Run(wall, cpu, size * (1 if sys.platform == 'darwin' else 1024) / 1e6)


def peak() -> float:
    """Return the peak of this process's resident memory so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024) / 1e9


def machine(device: str) -> dict[str, Any]:
    """Return what figures depend on: processor, threads, instruction sets in use, GPU and versions."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    found: dict[str, Any] = dict(
        date=time.strftime('%Y-%m-%d', time.gmtime()),
        processor=processor(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        instructions=torch.backends.cpu.get_cpu_capability(),
        limits={key: os.environ[key] for key in ('ATEN_CPU_CAPABILITY', 'ONEDNN_MAX_CPU_ISA') if key in os.environ},
        load=[round(load, 2) for load in os.getloadavg()],
        device=device,
        python=platform.python_version(),
        versions=versions,
    )
    if torch.device(device).type == 'cuda':
        found.update(gpu=torch.cuda.get_device_name(device), cuda=torch.version.cuda)
    return found


def processor() -> str:
    """Return the name of the processor."""
    info = Path('/proc/cpuinfo')
    names = [line for line in info.read_text().splitlines() if line.startswith('model name')] if info.exists() else []
    return names[0].partition(':')[2].strip() if names else platform.processor() or platform.machine()


def write(path: Path, rows: Sequence[Row], about: dict[str, Any]) -> None:
    """Write rows as a page, and beside it as JSON."""
    versions = ', '.join(f'{name} {number}' for name, number in about['versions'].items())
    plain = '; '.join(f'{key} {value}' for key, value in about.items() if key != 'versions' and value not in ({}, ''))
    lines = [
        '# Figures',
        '',
        'Written by `make bench`. Ratios are ours / peer, pair by pair: below 1, ours is less.',
        '',
    ]
    lines += [f'{plain}; {versions}.']
    for topic in dict.fromkeys(row.topic for row in rows):
        lines += ['', f'## {topic}', '', HEAD, *(row.text() for row in rows if row.topic == topic)]
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    path.with_suffix('.json').write_text(
        json.dumps(dict(machine=about, rows=[asdict(row) for row in rows]), indent=1) + '\n'
    )
