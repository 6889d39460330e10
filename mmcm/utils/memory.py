"""Memory of this machine and of processes, in bytes."""

import os
from contextlib import suppress
from pathlib import Path

CGROUP = Path('/sys/fs/cgroup')  # of a container, in version 2
KIB = 1024


def free_memory() -> int | None:
    """Return the memory that new work may use, within the limit of a container; None where the system does not say."""
    found = []
    with suppress(OSError, ValueError, IndexError):
        lines = Path('/proc/meminfo').read_text().splitlines()
        (available,) = (line.split()[1] for line in lines if line.startswith('MemAvailable:'))
        found.append(int(available) * KIB)
    with suppress(OSError, ValueError):
        limit, used = ((CGROUP / name).read_text() for name in ('memory.max', 'memory.current'))
        found.append(int(limit) - int(used) + cached_files())  # 'max' is no number: there is no limit
    if not found:
        with suppress(OSError, ValueError, AttributeError):
            found.append(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'))
    return max(0, min(found)) if found else None


def cached_files() -> int:
    """Return the size of the files that a container keeps in memory and gives up when that is short."""
    with suppress(OSError, ValueError, StopIteration):
        lines = (CGROUP / 'memory.stat').read_text().splitlines()
        return int(next(line for line in lines if line.startswith('inactive_file ')).split()[1])
    return 0


def memory_of(pid: int) -> int | None:
    """Return the resident memory of the process `pid`; None where the system does not say, or the process has ended."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f'/proc/{pid}/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')
    return None
