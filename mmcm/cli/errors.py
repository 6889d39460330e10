"""How commands end when their input cannot be used, the machine fails, they are interrupted, or nobody reads on."""
import os
import re
import sys
from functools import wraps
from typing import Any, Callable

from mmcm.cli import streams
from mmcm.utils.errors import InputError
from mmcm.utils.failures import machine_failure
from mmcm.utils.interrupts import PIPE_CLOSED, Interrupted, interruptible, received

LONGEST = 4000  # characters of a message
TYPE = InputError.__name__


def command(main: Callable[..., None]) -> Callable[..., None]:
    """Let `main` end with one line on stderr where something else than a fault of ours ends it.

    The exit code is 2 where it raises an InputError or the machine fails (see `machine_failure`), 130 after SIGINT and
    143 after SIGTERM. Where the reader of the output has ended, as `head` does, it ends with 141 and without a line.
    """

    @wraps(main)
    def run(*args, **kwargs):
        streams.make_usable()
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
        failure = machine_failure(error)
        if failure is None:
            raise
        fail(failure)


def run_and_flush(main: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    """Call `main` and write out what it has printed: as Python ends, nobody could handle a closed pipe."""
    try:
        main(*args, **kwargs)
    except SystemExit:  # after help, for example
        sys.stdout.flush()
        raise
    sys.stdout.flush()


def fail(message: str) -> None:
    """Print an error as one line and leave with exit code 2."""
    # A worker process that reads data puts its traceback in front; MMEngine the class that it was building.
    message = re.sub(rf'^Caught {TYPE} in .*\n[\w.]*{TYPE}: ', '', message, flags=re.DOTALL)
    message = re.sub(r'^(class `\w+` in \S+\.py: )+', '', ' '.join(message.split()))
    # A file may have control characters in a name, which terminals obey.
    message = ''.join(each if each.isprintable() else repr(each)[1:-1] for each in message)
    if len(message) > LONGEST:  # a file may have any text in place of a name
        message = f'{message[:LONGEST // 2]} ... {message[-LONGEST // 2:]}'
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
    if os.environ.get('RANK', '0') == '0':  # one of all processes speaks
        try:
            print(interrupt, file=sys.stderr, flush=True)
        except BrokenPipeError:  # Ctrl-C has ended who reads it, `tee` for example
            streams.silence(sys.stderr)
    sys.exit(interrupt.exit_code)
