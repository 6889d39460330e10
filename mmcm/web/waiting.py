"""Queue of waiting requests, limited per visitor and to visitors who listen for the answer.

Gradio computes each request in its queue, even if nobody reads the answer. Its queue has no public interface; only this
module uses it.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gradio.server_messages import ProcessCompletedMessage

from mmcm.web.answers import Refused
from mmcm.web.limits import Limits
from mmcm.web.visitors import visitor_of

FULL = 'As many requests wait as the server takes: try again in a minute.'
YOURS = 'As many of your requests wait as a visitor may have: let them end first.'
FORGOTTEN = 'The request was forgotten, since nobody waited for its answer: try again.'


class Waiting:
    """The queue, from which requests of silent sessions are removed.

    Args:
        blocks (gr.Blocks): The page with the queue.
        limits (Limits): Limits of waiting requests and of silence.
        clock (Callable): Returns the time in seconds, on the clock of Gradio's queue.
    """

    def __init__(self, blocks: Any, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.blocks = blocks
        self.limits = limits
        self.clock = clock
        self.listeners: Counter[str] = Counter()  # number of open streams, by session
        self.left: dict[str, float] = {}  # time when the last listener of a session left

    @property
    def queue(self) -> Any:
        """Gradio's queue."""
        return self.blocks._queue

    def waiting(self) -> list[Any]:
        """Return the waiting requests, oldest first."""
        waiting = [event for queue in self.queue.event_queue_per_concurrency_id.values() for event in queue.queue]
        return sorted(waiting, key=lambda event: event.enqueue_time)

    def running(self) -> list[Any]:
        """Return the requests in progress."""
        return [event for job in self.queue.active_jobs if job for event in job]

    def silence(self, event: Any) -> float:
        """Return the seconds for which nobody has listened for the answer of a request."""
        if self.listeners[event.session_hash]:
            return 0
        return self.clock() - max(event.enqueue_time, self.left.get(event.session_hash, 0))

    @contextmanager
    def listening(self, session: str) -> Iterator[None]:
        """Count a listener for the answers of `session` during the block."""
        self.listeners[session] += 1
        try:
            yield
        finally:
            self.listeners[session] -= 1
            if not self.listeners[session]:
                del self.listeners[session]
                self.left[session] = self.clock()

    async def admit(self, visitor: str) -> None:
        """Make room for a request of `visitor`, by removing a silent one if necessary; or raise Refused."""
        waiting = self.waiting()
        own = [event for event in waiting if visitor_of(event.request.scope) == visitor]
        if len(own) >= self.limits.visitor_queue:
            silent = [event for event in own if self.silence(event)]
            if not silent:
                raise Refused(429, YOURS)
            await self.forget(silent[0])
        elif len(waiting) >= self.limits.queue:
            silent = [event for event in waiting if self.silence(event) > self.limits.silent_seconds / 4]
            if not silent:
                raise Refused(503, FULL)
            await self.forget(silent[0])

    async def tidy(self) -> None:
        """Remove the requests, waiting or in progress, that were silent for `Limits.silent_seconds`."""
        for event in [*self.waiting(), *self.running()]:
            if event.alive and self.silence(event) > self.limits.silent_seconds:
                await self.forget(event)
        oldest = self.clock() - self.limits.silent_seconds
        self.left = {session: when for session, when in self.left.items() if when > oldest}

    async def forget(self, event: Any) -> None:
        """Remove a request from the queue, with a message for a listener that may still come."""
        self.queue.send_message(event, ProcessCompletedMessage(output=dict(error=FORGOTTEN), success=False))
        await self.queue.clean_events(event_id=event._id)
