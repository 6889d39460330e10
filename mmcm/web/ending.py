"""How the server ends: quietly at the first signal, in seconds whatever is computed, and at once at the second."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from types import FrameType

from mmcm.utils.interrupts import SIGNALS

SECONDS = 5  # in which the server ends by itself, unless a step is computed that takes longer


class Ending:
    """What signals do to the server.

    The first one stops it. A step of a large network takes minutes, and Python waits for threads, which cannot be
    stopped: after `SECONDS`, the process ends without them.

    Attributes:
        folder (str, optional): A folder that goes with the process, also where that does not end by itself.
        stop (Callable, optional): Called at the first signal; without it, the signal interrupts the block.
        timer (Timer, optional): Ends the process; running since the first signal.
    """

    def __init__(self) -> None:
        self.folder: str | None = None
        self.stop: Callable[[], None] | None = None
        self.timer: Timer | None = None

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Have signals end the block, which is no error."""
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
        """Take a signal."""
        if self.timer is not None:
            self.leave(128 + number)
        self.timer = Timer(SECONDS, self.leave, [0])
        self.timer.daemon = True
        self.timer.start()
        if self.stop is None:
            raise KeyboardInterrupt
        self.stop()

    def leave(self, code: int) -> None:
        """End the process at once, whatever its threads do."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
        os._exit(code)
