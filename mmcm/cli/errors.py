"""How commands end when their input cannot be used, the machine fails, they are interrupted, or nobody reads on."""

import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any

from mmcm.cli import streams
from mmcm.utils.errors import TRACEBACK, InputError, printable
from mmcm.utils.failures import machine_failure
from mmcm.utils.interrupts import PIPE_CLOSED, Interrupted, interruptible, received
from mmcm.utils.locks import is_first_process

LONGEST = 4000  # characters of a message
TYPE = InputError.__name__


def command(main: Callable[..., None]) -> Callable[..., None]:
    """Let `main` end with one line on stderr where something else than a fault of ours ends it.

    The exit code is 2 where it raises an InputError, a config cannot be built or the machine fails, 130 after SIGINT,
    143 after SIGTERM. Where the reader of the output has ended, as `head` does, it ends with 141 and without a line.

    Where the variable `MMCM_TRACEBACK` is set, the traceback of an error that is told in one line comes before it, and
    with it that of what it was made from.
    """

    @wraps(main)
    def run(*args, **kwargs):
        streams.make_usable()
        warnings.filterwarnings('default', 'The config file .* deprecated', DeprecationWarning)  # MMEngine's notes
        with interruptible():
            try:
                run_and_report(main, *args, **kwargs)
            except BrokenPipeError:
                if not streams.abandoned():  # then it was another pipe
                    raise
                leave_quietly()

    return run


def run_and_report(main: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    """Call `main`, and print what has ended it as one line."""
    try:
        run_and_flush(main, *args, **kwargs)
    except InputError as error:
        show_traceback()
        fail(str(error))
    except Interrupted as error:
        stop(error)
    except KeyboardInterrupt:
        stop(Interrupted())
    except Exception as error:
        if received():  # libraries make an error of their own of an exception that they do not expect
            stop(Interrupted(received()))
        if isinstance(error, BrokenPipeError) and streams.abandoned():
            raise
        failure = machine_failure(error) or building_failure(error)
        if failure is None:
            raise
        show_traceback()
        fail(failure)


def run_and_flush(main: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    """Call `main` and write out what it has printed: as Python ends, nobody could handle a closed pipe."""
    try:
        main(*args, **kwargs)
    except SystemExit:  # after help, for example
        sys.stdout.flush()
        raise
    sys.stdout.flush()


def building_failure(error: Exception) -> str | None:
    """Return in one line what could not be built from a config; None if `error` is of something else."""
    if 'mmengine' not in sys.modules:  # then nothing was built, and its import would take long
        return None
    from mmcm.cli import building

    return building.building_failure(error)


def show_traceback() -> None:
    """Print the traceback of the exception that is handled, if the user has asked for it."""
    if os.environ.get(TRACEBACK):
        traceback.print_exc()


def fail(message: str) -> None:
    """Print an error as one line and leave with exit code 2."""
    # A worker process that reads data puts its traceback in front; MMEngine the class that it was building.
    message = re.sub(rf'^Caught {TYPE} in .*\n[\w.]*{TYPE}: ', '', message, flags=re.DOTALL)
    message = re.sub(r'^(class `\w+` in \S+\.py: )+', '', ' '.join(message.split()))
    message = printable(message)
    if len(message) > LONGEST:  # a file may have any text in place of a name
        message = f'{message[: LONGEST // 2]} ... {message[-LONGEST // 2 :]}'
    print(f'error: {message}', file=sys.stderr)
    sys.exit(2)


def leave_quietly() -> None:
    """Leave without a line: nobody reads the output any more."""
    for stream in streams.abandoned():
        streams.silence(stream)
    sys.exit(128 + PIPE_CLOSED)


def stop(interrupt: Interrupted) -> None:
    """Print how a command was interrupted as one line, and leave with the exit code of the signal."""
    if interrupt.number == PIPE_CLOSED:
        leave_quietly()
    if is_first_process():  # one of all processes speaks
        try:
            print(interrupt, file=sys.stderr, flush=True)
        except BrokenPipeError:  # Ctrl-C has ended who reads it, `tee` for example
            streams.silence(sys.stderr)
    sys.exit(interrupt.exit_code)
