"""What stands before Gradio: requests that the page never makes do not get through."""
import asyncio
import json
import os
from collections.abc import Awaitable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Union

from mmcm.web.limits import Limits

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Gradio takes others as well, among them such as run programs on what was uploaded, or write a file for who asks.
GETS = ('/', '/config', '/theme.css', '/favicon.ico', '/manifest.json', *(f'/gradio_api/{name}' for name in (
    'info', 'queue/data', 'queue/status', 'startup-events', 'upload_progress')))
FOLDERS = ('/assets/', '/static/', '/gradio_api/file=', '/gradio_api/heartbeat/')  # of which all is asked for
UPLOAD, JOIN = '/gradio_api/upload', '/gradio_api/queue/join'
POSTS = (UPLOAD, JOIN, *(f'/gradio_api/{name}' for name in ('run/predict', 'cancel', 'reset')))
FILES = 4  # in one upload: a painted picture is sent as its layers
OVERHEAD = 1 << 20  # bytes of a body beside its files
FULL = 'The server holds as many pictures as it has room for. They go within about an hour; try again later.'


class Guard:
    """An ASGI application around Gradio's, which takes bodies of any size and fetches addresses that a path names.

    Args:
        app (Callable): Gradio's.
        limits (Limits): How large a file may be, and all files together; the body of an upload may be of `FILES` files
            and a little more, any other body is small.
        folder (str | Path): Where Gradio keeps uploads and results.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], limits: Limits, folder: Union[str, Path]) -> None:
        self.app = app
        self.limits = limits
        self.folder = Path(folder)
        self.arriving = 0  # bytes of the uploads that are under way

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or have Gradio answer it."""
        if scope['type'] == 'lifespan':
            await self.app(scope, receive, send)
        elif scope['type'] != 'http':
            await send(dict(type='websocket.close'))
        elif '://' in scope['path']:
            await refuse(send, 403, 'Addresses of other servers are not fetched.')
        elif scope['method'] in ('GET', 'HEAD'):
            if scope['path'] in GETS or scope['path'].startswith(FOLDERS):
                await self.app(scope, receive, send)
            else:
                await refuse(send, 404, 'The page makes no such request.')
        elif scope['method'] != 'POST' or scope['path'] not in POSTS:
            await refuse(send, 403, 'The page makes no such request.')
        else:
            await self.post(scope, receive, send)

    async def post(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request that has a body."""
        path = scope['path']
        most = OVERHEAD + (FILES * self.limits.upload_bytes if path == UPLOAD else 0)
        if announced(scope) > most:
            await refuse(send, 413, f'A request may have {most} bytes.')
            return
        coming = announced(scope) or most if path == UPLOAD else 0
        self.arriving += coming
        try:
            if path in (UPLOAD, JOIN) and await asyncio.to_thread(size_of, self.folder) + self.arriving > (
                    self.limits.kept_bytes):
                await refuse(send, 503, FULL)
            else:
                await self.app(scope, counted(receive, most), send)
        finally:
            self.arriving -= coming


def counted(receive: Receive, most: int) -> Receive:
    """Return a `receive` by which the visitor has left as soon as a body becomes longer than `most` bytes."""
    received = 0

    async def count() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get('body', b''))
        return {'type': 'http.disconnect'} if received > most else message

    return count


def size_of(folder: Path) -> int:
    """Return how many bytes the files below `folder` have; they may go meanwhile."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += os.path.getsize(os.path.join(place, name))
    return size


def announced(scope: Message) -> int:
    """Return how long the body of a request is to be, as far as its header tells."""
    length = dict(scope['headers']).get(b'content-length', b'0')
    return int(length) if length.isdigit() else 0


async def refuse(send: Send, status: int, why: str) -> None:
    """Answer a request with an error, in one line."""
    body = json.dumps(dict(detail=why)).encode()
    headers = [(b'content-type', b'application/json'), (b'content-length', str(len(body)).encode())]
    await send({'type': 'http.response.start', 'status': status, 'headers': headers})
    await send({'type': 'http.response.body', 'body': body})
