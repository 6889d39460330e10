"""Measurement of a training: a few steps of its real config, by `mmcm train` in another process."""

import json
import os
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from mmcm.apis.new.budget import Costs
from mmcm.utils.errors import InputError
from mmcm.utils.files import in_bytes
from mmcm.utils.memory import free_memory, memory_of
from mmcm.utils.system import usable_cores

MEMORY_SHARE = 0.6  # of the free memory, for a training
SECONDS = 6.0  # for the steps of a number of threads, at most, unless a few steps take longer
POLL = 0.1  # seconds between two looks at the memory of the other process
NO_MEMORY = re.compile(r'out of memory|not enough memory|Cannot allocate memory', re.IGNORECASE)
PROBE = """
# Added for the measurement.
custom_hooks = [*globals().get('custom_hooks', ()), {hook}]
train_cfg['max_iters'] = 10**9  # the hook ends the training
"""


class TooLarge(Exception):
    """A training that needs more memory than it may take."""


@dataclass(frozen=True)
class Measurement:
    """What `measure` found.

    Attributes:
        costs (Costs): Times.
        threads (int, optional): The fastest number of CPU threads; None on an accelerator.
        memory (int, optional): Peak in bytes, of the process or of the accelerator; None where the system does not say.
    """

    costs: Costs
    threads: int | None
    memory: int | None


def thread_counts() -> list[int]:
    """Return the numbers of CPU threads to compare; none on an accelerator, where they matter little."""
    cores = usable_cores()
    return [] if torch.cuda.is_available() else sorted({1, max(1, cores // 2), cores})


def memory_limit() -> int | None:
    """Return how much memory a training may take, in bytes: a share of the free memory of the device."""
    free = torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else free_memory()
    return None if free is None else int(MEMORY_SHARE * free)


def measure(
    text: str, work_dir: Path, limit: int | None, threads: list[int] | None = None, seconds: float = SECONDS
) -> Measurement:
    """Run a few steps of the config `text`, with validation, a checkpoint and the grids.

    Args:
        text (str): A config, as `mmcm train` reads it.
        work_dir (Path): Work directory; afterwards it holds a checkpoint.
        limit (int, optional): Memory in bytes that the training may take.
        threads (list[int], optional): Numbers of CPU threads to compare; see `thread_counts`.
        seconds (float): Time for the steps of a number of threads.

    Raises:
        TooLarge: If the training takes more memory.
        InputError: If it fails for another reason.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    out = work_dir / 'costs.json'
    threads = thread_counts() if threads is None else threads
    hook = dict(type='CostProbeHook', out=str(out), threads=threads, seconds=seconds, begun=time.time())
    config = work_dir / 'probe.py'
    config.write_text(text + PROBE.format(hook=repr(hook)), encoding='utf-8')
    command = [sys.executable, '-m', 'mmcm', 'train', str(config), '--work-dir', str(work_dir / 'run'), '--force']
    log = work_dir / 'log.txt'
    begin = time.time()
    with log.open('wb') as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            wait(process, None if torch.cuda.is_available() else limit)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    written = log.read_text(encoding='utf-8', errors='replace')
    if process.returncode or not out.exists():
        if NO_MEMORY.search(written):
            raise TooLarge('the device has not enough memory')
        reason = ' '.join((written.strip().splitlines() or ['it printed nothing'])[-1].split())
        raise InputError(f'the training cannot be measured, as it ended with code {process.returncode}: {reason}')
    found = json.loads(out.read_text())
    if limit is not None and found['memory'] is not None and found['memory'] > limit:
        raise TooLarge(f'it takes {in_bytes(found["memory"])} of {in_bytes(limit)}')
    return read_measurement(found, time.time() - begin)


def read_measurement(found: dict, seconds: float) -> Measurement:
    """Return the measurement in the file of CostProbeHook, of a process that ran for at least `seconds`."""
    step = statistics.median(taken for threads, taken in found['steps'] if threads == found['threads'])
    validation = found.get('validation', 0.0)
    pause = validation + found['checkpoint'] + found['grids']
    first = max(0.0, found.get('first_validation', 0.0) - validation)
    return Measurement(Costs(min(found['start'], seconds), step, pause, first), found['threads'], found['memory'])


def wait(process: subprocess.Popen, limit: int | None) -> None:
    """Wait for the end of a process; end it if it takes more than `limit` bytes of memory.

    Raises:
        TooLarge: If it does: the system would end this process, too, when memory is short.
    """
    while True:
        try:
            process.wait(POLL)
            return
        except subprocess.TimeoutExpired:
            taken = None if limit is None else memory_of(process.pid)
            if taken is not None and limit is not None and taken > limit:
                raise TooLarge(f'it takes more than {in_bytes(limit)}') from None


def device_in_words(threads: int | None) -> str:
    """Return the device that trainings run on."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f'{threads or torch.get_num_threads()} of {os.cpu_count()} CPU cores'
