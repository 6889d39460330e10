"""SIGINT (Ctrl-C) and SIGTERM (preemption, `kill`), handled in one way by all commands.

Inside `interruptible` a signal raises `Interrupted`, in the main thread, wherever the program is. Between `hold` and
`release` it is only recorded, and whoever holds it asks `received` where the program can stop. A second signal ends the
process at once; files are not broken by that, since they appear whole (`mmcm.utils.files.appearing`).
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
PIPE_CLOSED = 13  # SIGPIPE, which Windows has not: nobody reads the output any more
NAMES = {signal.SIGINT: 'Ctrl-C (SIGINT)', signal.SIGTERM: 'SIGTERM'}
# `timeout` signals its child and then the group that the child belongs to; launchers and schedulers do the same.
# A signal that follows the first one within this time belongs to the same request.
SAME_REQUEST = 0.5  # seconds
GRACE = 10.0  # seconds in which a child outlives a SIGTERM of another process than its parent


class Interrupted(KeyboardInterrupt):
    """The process was told to end, by SIGINT or SIGTERM.

    Args:
        number (int): The signal.
        advice (str): What is kept and how to go on, for the user.
    """

    def __init__(self, number: int = signal.SIGINT, advice: str = '') -> None:
        super().__init__(number)
        self.number = number if number == PIPE_CLOSED else signal.Signals(number)
        self.advice = advice

    @property
    def exit_code(self) -> int:
        """The exit code of a process that this signal ends, as shells count: 130 or 143."""
        return 128 + self.number

    def __str__(self) -> str:
        """Return one line for the user."""
        name = 'a closed pipe' if self.number == PIPE_CLOSED else NAMES.get(self.number, self.number)
        return ' '.join([f'stopped by {name}.', self.advice]).strip()


class _State:
    """What the handlers know; there is one set of signal handlers in a process."""

    def __init__(self) -> None:
        self.reset()

    def reset(self, process: int | None = None) -> None:
        """Forget what was received; `process` is the one whose handlers are installed, None if they are not."""
        self.process = process
        self.received: int | None = None
        self.moment = 0.0
        self.same_request = SAME_REQUEST
        self.held = False
        self.notice = ''


_state = _State()


def received() -> int | None:
    """Return the signal that this process has received inside `interruptible`, None if there was none."""
    return _state.received


def reader_gone() -> None:
    """Take it as a signal that nobody reads the output any more, which is recorded while signals are held."""
    if _state.received is None:
        _state.received, _state.moment = PIPE_CLOSED, time.monotonic()
    if not _state.held:
        raise Interrupted(_state.received)


def hold(notice: str = '', same_request: float = SAME_REQUEST) -> None:
    """Record signals from now on, without an exception, until `release`.

    Args:
        notice (str): What to write to stderr when a signal arrives.
        same_request (float): Seconds after a signal in which another one does not end the process.
    """
    _state.notice = notice
    _state.same_request = same_request
    _state.held = True


def release() -> None:
    """Let signals raise `Interrupted` again; raise it now if one has been recorded meanwhile."""
    was_held, _state.held = _state.held, False
    if was_held and _state.received is not None:
        raise Interrupted(_state.received)


@contextmanager
def interruptible() -> Iterator[None]:
    """Have SIGINT and SIGTERM raise `Interrupted` in the block, but for those that the parent process had ignored.

    Nested blocks are one; outside the main thread, where Python allows no handlers, it does nothing.
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
    """Add `advice`, what is kept and how to go on, to an interrupt of the block."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(getattr(error, 'number', signal.SIGINT), advice) from None


@contextmanager
def unseen_by_children() -> Iterator[None]:
    """Have processes that are spawned in the block never see SIGINT; they need `end_with_parent`.

    Terminals send it to them as well, and each would print a traceback. Forked processes need neither.
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
    """End this process, which `multiprocessing` has started, as soon as its parent has ended, however that ended."""
    import multiprocessing  # here: until the handlers are installed, imports are not protected

    def wait() -> None:
        multiprocessing.parent_process().join()
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
        with suppress(OSError):  # Ctrl-C also ends who reads it, `tee` for example
            os.write(2, f'{NAMES[number]}: {_state.notice}\n'.encode())


def _in_child() -> None:
    """Ignore SIGINT, and for a while SIGTERM unless the parent sent it.

    Terminals and schedulers signal a whole group of processes. A child that ended at once would fail a step of the
    parent that is to be finished and saved.
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
    """Say nothing where the parent has closed a connection: it has ended, and `multiprocessing` was handing it data."""
    if not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)


def _obey(parent: int) -> None:
    # Two signals that come at nearly the same time are one, that of the parent may be lost: so this ends, too.
    if signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        signal.sigtimedwait({signal.SIGTERM}, GRACE)
    os._exit(0)  # as torch's own handler for its workers does; to torch another code is a failure


after_fork_in_child(_in_child)
