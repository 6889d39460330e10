#!/usr/bin/env python
"""torchrun that ends in one line when a process fails or is stopped; `tools/dist_train.sh` starts it.

The exit code is that of the process that failed first, or 130 and 143 after SIGINT and SIGTERM.
"""

import signal
import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run


def main() -> int:
    """Run the processes; return the exit code."""
    try:
        run(parse_args(sys.argv[1:]))  # not its `main`, which prints tracebacks
    except SignalException as error:
        return 128 + error.sigval
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode >= 0:
            return failure.exitcode  # the process has said why
        name = signal.Signals(-failure.exitcode).name
        print(
            f'process {rank} was killed by {name}; a training goes on from its last checkpoint by the same command '
            'with --resume',
            file=sys.stderr,
        )
        return 128 - failure.exitcode
    return 0


if __name__ == '__main__':
    sys.exit(main())
