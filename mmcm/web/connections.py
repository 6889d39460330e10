"""Connections of the server: limits per visitor and in total, and a timeout for silent ones."""

from asyncio import TimerHandle
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from mmcm.web.limits import Limits
from mmcm.web.security_headers import secured
from mmcm.web.visitors import visitor_at


def limited_protocol(limits: Limits) -> type[H11Protocol]:
    """Return uvicorn's protocol with limits of connections, for which uvicorn has no settings."""

    class LimitedProtocol(H11Protocol):
        """HTTP with a timeout: a request has to be complete within `Limits.idle_seconds`."""

        visitor = ''
        silence: TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            """See `H11Protocol`."""
            super().connection_made(transport)
            self.visitor = visitor_at(self.client[0] if self.client else '')
            own = sum(getattr(other, 'visitor', None) == self.visitor for other in self.connections)
            if own > limits.visitor_connections or len(self.connections) > limits.connections:
                transport.write(
                    b'HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n'
                    + b''.join(b'%s: %s\r\n' % pair for pair in secured([]))
                    + b'\r\n'
                )
                transport.close()
                return
            self.wait()

        def wait(self) -> None:
            """Start the timeout for the next request."""
            self.stop_waiting()
            self.silence = self.loop.call_later(limits.idle_seconds, self.transport.abort)

        def stop_waiting(self) -> None:
            """Stop the timeout."""
            if self.silence is not None:
                self.silence.cancel()
                self.silence = None

        def data_received(self, data: bytes) -> None:
            """See `H11Protocol`."""
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self.stop_waiting()

        def on_response_complete(self) -> None:
            """See `H11Protocol`."""
            self.wait()
            super().on_response_complete()
            if not self.cycle.response_complete:  # the next request has already arrived
                self.stop_waiting()

        def connection_lost(self, exc: Exception | None) -> None:
            """See `H11Protocol`."""
            self.stop_waiting()
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            """See `H11Protocol`."""
            headers = secured([(b'content-type', b'text/plain; charset=utf-8'), (b'connection', b'close')])
            for event in (
                h11.Response(status_code=400, headers=headers),
                h11.Data(data=msg.encode()),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event))
            self.transport.close()

    return LimitedProtocol
