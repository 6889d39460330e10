"""One-line answers of the server itself, for requests that do not reach Gradio."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Refused(Exception):
    """A request is refused.

    Args:
        status (int): HTTP status of the answer.
        why (str): One line, without any content of the request.
        headers (tuple[str, str]): Further headers of the answer, as names and values.
    """

    def __init__(self, status: int, why: str, *headers: tuple[str, str]) -> None:
        super().__init__(why)
        self.status = status
        self.headers = headers


async def refuse(send: Send, refused: Refused) -> None:
    """Answer a request with an error of one line."""
    body = json.dumps(dict(detail=str(refused))).encode()
    headers = [('content-type', 'application/json'), ('content-length', str(len(body))), *refused.headers]
    await send(
        {
            'type': 'http.response.start',
            'status': refused.status,
            'headers': [(name.encode(), value.encode()) for name, value in headers],
        }
    )
    await send({'type': 'http.response.body', 'body': body})


def header(scope: Message, name: str) -> str:
    """Return a header of a request, or ''; raise Refused if it has several of the name."""
    values = [value for key, value in scope['headers'] if key == name.encode()]
    if len(values) > 1:
        raise Refused(400, f'A request has one header {name}.')
    return values[0].decode('latin-1').strip() if values else ''
