"""Shutdown of the server by signals: within seconds at the first, at once at the second."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from types import FrameType

from mmcm.utils.interrupts import SIGNALS

SECONDS = 5  # until the process ends even if a step is still being computed


class Ending:
    """Signal handlers of the server.

    The first signal stops it. A step of a large network takes minutes, and Python waits for threads, which cannot be
    stopped: after `SECONDS`, the process ends without them.

    Attributes:
        folder (str, optional): A folder to remove at the end of the process, however it ends.
        stop (Callable, optional): Called at the first signal; without it, the signal interrupts the block.
        timer (Timer, optional): Ends the process; it runs since the first signal.
    """

    def __init__(self) -> None:
        self.folder: str | None = None
        self.stop: Callable[[], None] | None = None
        self.timer: Timer | None = None

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Have signals end the block without an error."""
        # `nohup` ignores signals on purpose.
        before = {
            number: signal.signal(number, self.handle)
            for number in SIGNALS
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        try:
            yield
        except KeyboardInterrupt:
            pass
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            if self.timer is not None:
                self.timer.cancel()

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.timer is not None:
            self.leave(128 + number)
        self.timer = Timer(SECONDS, self.leave, [0])
        self.timer.daemon = True
        self.timer.start()
        if self.stop is None:
            raise KeyboardInterrupt
        self.stop()

    def leave(self, code: int) -> None:
        """End the process at once, without waiting for its threads."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
        os._exit(code)
