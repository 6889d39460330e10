"""Exit of commands: one line on stderr for unusable input, failures of the machine and interrupts."""

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
    """Decorate `main` so that all ends but bugs print one line on stderr.

    The exit code is 2 for an InputError, a config that cannot be built or a failure of the machine, 130 after SIGINT
    and 143 after SIGTERM. If the reader of the output has ended, as `head` does, it is 141, without a line.

    With the environment variable `MMCM_TRACEBACK`, the traceback of the error and of its causes precedes the line.
    """

    @wraps(main)
    def run(*args: Any, **kwargs: Any) -> None:
        streams.make_usable()
        warnings.filterwarnings('default', 'The config file .* deprecated', DeprecationWarning)  # MMEngine's notes
        with interruptible():
            try:
                run_and_report(main, *args, **kwargs)
            except BrokenPipeError:
                if not streams.abandoned():  # it was another pipe
                    raise
                leave_quietly()

    return run


def run_and_report(main: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    """Call `main`, and print the reason of its end as one line."""
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
        signal = received()
        if signal:  # libraries turn an unexpected exception into an error of their own
            stop(Interrupted(signal))
        if isinstance(error, BrokenPipeError) and streams.abandoned():
            raise
        failure = machine_failure(error) or building_failure(error)
        if failure is None:
            raise
        show_traceback()
        fail(failure)


def run_and_flush(main: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    """Call `main` and flush its output: a closed pipe could not be handled when Python ends."""
    try:
        main(*args, **kwargs)
    except SystemExit:  # after help, for example
        sys.stdout.flush()
        raise
    sys.stdout.flush()


def building_failure(error: Exception) -> str | None:
    """Describe in one line what could not be built from a config; return None for other errors."""
    if 'mmengine' not in sys.modules:  # nothing was built, and the import would be slow
        return None
    from mmcm.cli import building

    return building.building_failure(error)


def show_traceback() -> None:
    """Print the traceback of the current exception, if the user wants it."""
    if os.environ.get(TRACEBACK):
        traceback.print_exc()


def fail(message: str) -> None:
    """Print an error as one line and exit with code 2."""
    # A worker process that reads data prepends its traceback, MMEngine the class that it was building.
    message = re.sub(rf'^Caught {TYPE} in .*\n[\w.]*{TYPE}: ', '', message, flags=re.DOTALL)
    message = re.sub(r'^(class `\w+` in \S+\.py: )+', '', ' '.join(message.split()))
    message = printable(message)
    if len(message) > LONGEST:  # a file may have any text in place of a name
        message = f'{message[: LONGEST // 2]} ... {message[-LONGEST // 2 :]}'
    print(f'error: {message}', file=sys.stderr)
    sys.exit(2)


def leave_quietly() -> None:
    """Exit without a line: nobody reads the output any more."""
    for stream in streams.abandoned():
        streams.silence(stream)
    sys.exit(128 + PIPE_CLOSED)


def stop(interrupt: Interrupted) -> None:
    """Print how a command was interrupted as one line, and exit with the code of the signal."""
    if interrupt.number == PIPE_CLOSED:
        leave_quietly()
    if is_first_process():  # of all processes, only the first prints
        try:
            print(interrupt, file=sys.stderr, flush=True)
        except BrokenPipeError:  # Ctrl-C has also ended the reader, `tee` for example
            streams.silence(sys.stderr)
    sys.exit(interrupt.exit_code)
