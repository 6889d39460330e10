"""Handling of SIGINT (Ctrl-C) and SIGTERM (preemption, `kill`), the same for all commands.

Inside `interruptible`, a signal raises `Interrupted` in the main thread. Between `hold` and `release` it is only
recorded; the caller polls `received` where it can stop. A second signal ends the process at once; no file is broken,
since files appear whole (`mmcm.utils.files.appearing`).
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

from mmcm.utils.system import after_fork_in_child

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PIPE_CLOSED = 13  # SIGPIPE, by number since Windows lacks it: nobody reads the output any more
NAMES: dict[int, str] = {signal.SIGINT: 'Ctrl-C (SIGINT)', signal.SIGTERM: 'SIGTERM'}
# `timeout` signals its child and then the group that the child belongs to; launchers and schedulers do the same.
# A signal that follows the first one within this time belongs to the same request.
SAME_REQUEST = 0.5  # seconds
GRACE = 10.0  # seconds in which a child outlives a SIGTERM of another process than its parent


class Interrupted(KeyboardInterrupt):
    """End of the process, requested by SIGINT or SIGTERM.

    Args:
        number (int): The signal.
        advice (str): Which results are kept and how to continue, for the user.
    """

    def __init__(self, number: int = signal.SIGINT, advice: str = '') -> None:
        super().__init__(number)
        self.number: int = number if number == PIPE_CLOSED else signal.Signals(number)
        self.advice = advice

    @property
    def exit_code(self) -> int:
        """Exit code of a process that this signal ended, by the convention of shells: 130 or 143."""
        return 128 + self.number

    def __str__(self) -> str:
        """Return one line for the user."""
        name = 'a closed pipe' if self.number == PIPE_CLOSED else NAMES.get(self.number, self.number)
        return ' '.join([f'stopped by {name}.', self.advice]).strip()


class _State:
    """State of the signal handlers, one set per process."""

    def __init__(self) -> None:
        self.reset()

    def reset(self, process: int | None = None) -> None:
        """Forget received signals; `process` has the handlers installed, None if no process has."""
        self.process = process
        self.received: int | None = None
        self.moment = 0.0
        self.same_request = SAME_REQUEST
        self.held = False
        self.notice = ''


_state = _State()


def received() -> int | None:
    """Return the signal received inside `interruptible`, or None."""
    return _state.received


def reader_gone() -> None:
    """Treat a closed output pipe as a signal, which is recorded while signals are held."""
    if _state.received is None:
        _state.received, _state.moment = PIPE_CLOSED, time.monotonic()
    if not _state.held:
        raise Interrupted(_state.received)


def hold(notice: str = '', same_request: float = SAME_REQUEST) -> None:
    """Record signals without an exception until `release`.

    Args:
        notice (str): Text for stderr when a signal arrives.
        same_request (float): Seconds after a signal within which a second one does not end the process.
    """
    _state.notice = notice
    _state.same_request = same_request
    _state.held = True


def release() -> None:
    """Let signals raise `Interrupted` again; raise it now if one was recorded meanwhile."""
    was_held, _state.held = _state.held, False
    if was_held and _state.received is not None:
        raise Interrupted(_state.received)


@contextmanager
def interruptible() -> Iterator[None]:
    """Have SIGINT and SIGTERM raise `Interrupted` in the block, except signals that the parent process ignored.

    Nested blocks count as one. Outside the main thread, where Python allows no handlers, it does nothing.
    """
    if _state.process == os.getpid() or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    # `nohup`, and shells that start a job in the background, ignore signals on purpose.
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    _state.reset(os.getpid())
    try:
        for number in before:
            signal.signal(number, _handle)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        _state.reset()


@contextmanager
def advising(advice: str) -> Iterator[None]:
    """Add `advice` (which results are kept, how to continue) to an interrupt of the block."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(getattr(error, 'number', signal.SIGINT), advice) from None


@contextmanager
def unseen_by_children() -> Iterator[None]:
    """Hide SIGINT from processes that are spawned in the block; they need `end_with_parent`.

    Terminals signal them, too, and each would print a traceback. Forked processes need neither.
    """
    if not hasattr(signal, 'pthread_sigmask'):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # children inherit it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """End this process, started by `multiprocessing`, as soon as its parent has ended for any reason."""
    import multiprocessing  # here: until the handlers are installed, imports are not protected

    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _handle(number: int, frame: object) -> None:
    if _state.process != os.getpid():  # a child that has not got its own handlers yet
        return
    now = time.monotonic()
    if _state.received is not None:
        if now - _state.moment > _state.same_request:
            os._exit(128 + number)
        return
    _state.received, _state.moment = number, now
    if not _state.held:
        raise Interrupted(number)
    if _state.notice:
        with suppress(OSError):  # Ctrl-C also ends the reader, `tee` for example
            os.write(2, f'{NAMES[number]}: {_state.notice}\n'.encode())


def _in_child() -> None:
    """Ignore SIGINT in a forked child, and SIGTERM for `GRACE` seconds unless the parent sent it.

    Terminals and schedulers signal a whole group of processes. If a child ended at once, the step that the parent is
    about to finish and save would fail.
    """
    if _state.process is None:
        return
    _state.process = None
    sys.excepthook = _excepthook_of_child
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, 'sigwaitinfo'):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey, args=(os.getppid(),), daemon=True).start()
    else:  # macOS does not say who sent a signal
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _excepthook_of_child(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print no traceback when the parent has ended and closed a connection of `multiprocessing`."""
    if not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)


def _obey(parent: int) -> None:
    # Two signals at nearly the same time merge into one, so that of the parent may be lost: end after GRACE anyway.
    if signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        signal.sigtimedwait({signal.SIGTERM}, GRACE)
    os._exit(0)  # as torch's own handler for its workers does; to torch another code is a failure


after_fork_in_child(_in_child)
