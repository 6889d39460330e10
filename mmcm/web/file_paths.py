"""Public names of files of the server, `files/<digest>/<name>`, in place of their paths on its disk."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mmcm.web.answers import Message, Refused, Send

PREFIX = 'files/'
TEXTS = (b'application/json', b'text/html', b'text/plain', b'text/event-stream')  # types of answers that name files


class FilePaths:
    """Public names of the files in the folder of uploads and results.

    Args:
        folder (str | Path): The folder, of Gradio.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = str(folder)
        spelled = {
            spelling
            for place in (self.folder, str(Path(folder).resolve()))
            for spelling in (place, json.dumps(place)[1:-1], quote(place))
        }
        self.spellings = sorted((spelling.encode() for spelling in spelled), key=len, reverse=True)

    def hidden(self, text: bytes) -> bytes:
        """Replace the paths in the text of an answer by public names."""
        for spelling in self.spellings:
            text = text.replace(spelling + b'/', PREFIX.encode()).replace(spelling, PREFIX.encode()[:-1])
        return text

    def real(self, name: str) -> str:
        """Return the path of a public name; raise Refused for any other text."""
        parts = name.removeprefix(PREFIX).split('/')
        if not name.startswith(PREFIX) or '\0' in name or any(part in ('', '.', '..') for part in parts):
            raise Refused(403, 'The request names a file that was not uploaded.')
        return f'{self.folder}/{"/".join(parts)}'

    def restored(self, value: Any) -> Any:
        """Replace the public names in the values of a request by paths."""
        if isinstance(value, list):
            return [self.restored(each) for each in value]
        if not isinstance(value, dict):
            return value
        value = {key: self.restored(each) for key, each in value.items()}
        if isinstance(value.get('path'), str):  # other keys, such as `url`, would be read or fetched by Gradio
            value = dict(path=self.real(value['path']), meta=dict(_type='gradio.FileData'))
        return value


class HidingPaths:
    """A `send` for an answer of Gradio that hides paths in texts; other answers pass unchanged."""

    def __init__(self, send: Send, paths: FilePaths) -> None:
        self.send = send
        self.paths = paths
        self.start: Message | None = None
        self.kind = b''
        self.text = b''

    async def __call__(self, message: Message) -> None:
        """Process a message of the answer."""
        if message['type'] == 'http.response.start':
            self.kind = dict(message['headers']).get(b'content-type', b'').split(b';')[0]
            encoded = b'content-encoding' in dict(message['headers'])
            if encoded or self.kind not in TEXTS:
                self.kind = b''
            if self.kind in (b'', b'text/event-stream'):
                await self.send(message)
            else:
                self.start = message
        elif self.kind == b'':
            await self.send(message)
        elif self.kind == b'text/event-stream':
            await self.stream(message)
        else:
            self.text += message.get('body', b'')
            if not message.get('more_body', False):
                await self.whole()

    async def stream(self, message: Message) -> None:
        """Send the complete events; an event ends with an empty line."""
        self.text += message.get('body', b'')
        more = message.get('more_body', False)
        whole, end, rest = self.text.rpartition(b'\n\n') if more else (self.text, b'', b'')
        self.text = rest
        if whole or not more:
            await self.send({**message, 'body': self.paths.hidden(whole + end)})

    async def whole(self) -> None:
        """Send the complete answer, with its new length."""
        assert self.start is not None
        text = self.paths.hidden(self.text)
        headers = [
            (name, str(len(text)).encode() if name == b'content-length' and self.text else value)
            for name, value in self.start['headers']
        ]
        await self.send({**self.start, 'headers': headers})
        await self.send({'type': 'http.response.body', 'body': text})
