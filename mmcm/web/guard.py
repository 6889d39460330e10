"""What stands before Gradio: requests that the page never makes do not get through."""
import json
from collections.abc import Awaitable, MutableMapping
from typing import Any, Callable

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Gradio takes others as well, among them such as run programs on what was uploaded.
POSTS = tuple(f'/gradio_api/{name}' for name in ('queue/join', 'run/predict', 'cancel', 'reset', 'upload'))
FILES = 4  # in one upload: a painted picture is sent as its layers
OVERHEAD = 1 << 20  # bytes of a body beside its files


class Guard:
    """An ASGI application around Gradio's, which takes bodies of any size and fetches addresses that a path names.

    Args:
        app (Callable): Gradio's.
        upload_bytes (int): Size of a file; a body may be of `FILES` of them, and a little more.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], upload_bytes: int) -> None:
        self.app = app
        self.most = FILES * upload_bytes + OVERHEAD

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or have Gradio answer it."""
        if scope['type'] != 'http':
            await self.app(scope, receive, send)
        elif '://' in scope['path']:
            await refuse(send, 403, 'Addresses of other servers are not fetched.')
        elif scope['method'] in ('GET', 'HEAD'):
            await self.app(scope, receive, send)
        elif scope['method'] != 'POST' or scope['path'] not in POSTS:
            await refuse(send, 403, 'The page makes no such request.')
        elif announced(scope) > self.most:
            await refuse(send, 413, f'A request may have {self.most} bytes.')
        else:
            await self.app(scope, self.counted(receive), send)

    def counted(self, receive: Receive) -> Receive:
        """Return a `receive` by which the visitor has left as soon as a body becomes too long."""
        received = 0

        async def count() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get('body', b''))
            return {'type': 'http.disconnect'} if received > self.most else message

        return count


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
