"""Answers that the server gives itself, in one line, where a request does not reach Gradio."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Refused(Exception):
    """A request is not met.

    Args:
        status (int): HTTP status of the answer.
        why (str): One line, which holds nothing of the request.
        headers (tuple[str, str]): Further headers of the answer, as names and values.
    """

    def __init__(self, status: int, why: str, *headers: tuple[str, str]) -> None:
        super().__init__(why)
        self.status = status
        self.headers = headers


async def refuse(send: Send, refused: Refused) -> None:
    """Answer a request with an error, in one line."""
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
    """Return a header of a request, '' if it has none; raise Refused if it has several."""
    values = [value for key, value in scope['headers'] if key == name.encode()]
    if len(values) > 1:
        raise Refused(400, f'A request has one header {name}.')
    return values[0].decode('latin-1').strip() if values else ''
