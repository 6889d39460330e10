"""Filter of requests in front of Gradio, which only passes requests that the page makes."""

import asyncio
import json
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from urllib.parse import parse_qs

from mmcm.renamed import moved_name
from mmcm.web.answers import App, Message, Receive, Refused, Send, header, refuse
from mmcm.web.file_paths import FilePaths, HidingPaths
from mmcm.web.limits import Limits
from mmcm.web.origins import Origins
from mmcm.web.password import Password
from mmcm.web.quotas import Quotas
from mmcm.web.request_bodies import NAME, cancel_body, check_kind, event_body, parse_json, reset_body
from mmcm.web.security_headers import is_page, secured
from mmcm.web.visitors import visitor_of

API = '/gradio_api'
# Gradio accepts others as well, some of which run programs on uploads or write files for the visitor.
GETS = (
    '/',
    '/config',
    '/theme.css',
    '/favicon.ico',
    '/manifest.json',
    *(f'{API}/{name}' for name in ('info', 'queue/data', 'queue/status', 'startup-events', 'upload_progress')),
)
FILE, HEARTBEAT = f'{API}/file=', f'{API}/heartbeat/'
FOLDERS = ('/assets/', '/static/', FILE, HEARTBEAT)  # prefixes of further paths
UPLOAD, JOIN, RUN, CANCEL, RESET = (
    f'{API}/{name}' for name in ('upload', 'queue/join', 'run/predict', 'cancel', 'reset')
)
POSTS = (UPLOAD, JOIN, RUN, CANCEL, RESET)
LISTEN = f'{API}/queue/data'
FILES = 4  # in one upload: a painted image is sent as its layers
OVERHEAD = 1 << 20  # bytes of a body besides its files
LONGEST_PATH = 2000  # bytes of a path with its query
LONGEST_WORDS = 200  # characters of a refusal by Gradio
# Headers from which Gradio would take its address.
FORWARDED = (b'forwarded', b'x-forwarded-', b'x-gradio-', b'x-real-ip')
UNREADABLE = 'The body of the upload cannot be read.'
MISTAKE = 'The server has made a mistake at this request: its log says more.'


class RequestFilter:
    """An ASGI application around Gradio's that answers every request, if only by a refusal.

    Args:
        app (Callable): Gradio's application.
        limits (Limits): Limits of a request; the body of an upload may have `FILES` files and `OVERHEAD`, any other
            body `OVERHEAD`.
        quotas, paths, origins, password, waiting: The other checks, of the modules of these names.
        inputs (Mapping[int, int]): Number of values of each event, by its number.
    """

    def __init__(
        self,
        app: App,
        limits: Limits,
        quotas: Quotas,
        paths: FilePaths,
        origins: Origins,
        password: Password | None = None,
        waiting: Any = None,
        inputs: Mapping[int, int] | None = None,
    ) -> None:
        self.app = app
        self.limits = limits
        self.quotas = quotas
        self.paths = paths
        self.origins = origins
        self.password = password
        self.waiting = waiting
        self.inputs = inputs or {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it to Gradio."""
        if scope['type'] == 'lifespan':
            await self.app(scope, receive, send)
        elif scope['type'] != 'http':
            await send(dict(type='websocket.close'))
        else:
            answer = Answer(send, self.paths)
            try:
                await self.answer(scope, receive, answer)
            except Refused as refused:
                await answer.refuse(refused)
            except Exception as error:  # of Gradio, which answers by itself if it can
                if scope['path'] == UPLOAD and not isinstance(error, OSError):  # its parser raises anything
                    await answer.refuse(Refused(400, UNREADABLE))
                elif not answer.left:
                    logging.getLogger('mmcm').exception(MISTAKE)
                    await answer.refuse(Refused(500, MISTAKE))

    async def answer(self, scope: Message, receive: Receive, answer: 'Answer') -> None:
        """Answer a request; raise Refused if it is not permitted."""
        self.origins.check(scope)
        if self.password is not None:
            self.password.check(scope)
        path, method = scope['path'], scope['method']
        if '://' in path:
            raise Refused(403, 'Addresses of other servers are not fetched.')
        if len(scope['raw_path']) + len(scope['query_string']) > LONGEST_PATH:
            raise Refused(414, f'An address may have {LONGEST_PATH} bytes.')
        scope = {**scope, 'headers': forwarded(scope)}
        if method in ('GET', 'HEAD'):
            if path not in GETS and not path.startswith(FOLDERS):
                raise Refused(404, 'The page makes no such request.')
            await self.get(scope, receive, answer)
        elif method != 'POST' or path not in POSTS:
            raise Refused(403, 'The page makes no such request.')
        else:
            check_kind(path == UPLOAD, header(scope, 'content-type'))
            await (self.upload if path == UPLOAD else self.post)(scope, receive, answer)

    async def get(self, scope: Message, receive: Receive, answer: 'Answer') -> None:
        """Answer a request without a body."""
        path = scope['path']
        listening: AbstractContextManager = nullcontext()
        if path.startswith(FILE):
            path = FILE + self.paths.real(path.removeprefix(FILE))
            scope = {**scope, 'path': path, 'raw_path': path.encode()}
        elif path.startswith(HEARTBEAT) and NAME.fullmatch(path.removeprefix(HEARTBEAT)) is None:
            raise Refused(400, 'The address holds no name of a session.')
        elif path == LISTEN:
            session = query_name(scope, 'session_hash')
            listening = self.waiting.listening(session) if self.waiting is not None else listening
        elif path == f'{API}/upload_progress':
            query_name(scope, 'upload_id')
        with listening:
            await self.app(scope, receive, answer)

    async def upload(self, scope: Message, receive: Receive, answer: 'Answer') -> None:
        """Answer a request with files."""
        most = OVERHEAD + FILES * self.limits.upload_bytes
        size = announced(scope, most)
        visitor, reply = visitor_of(scope), b''

        async def listen(message: Message) -> None:
            nonlocal reply
            reply += message.get('body', b'')
            await answer(message)

        with self.quotas.upload(visitor, size or most):
            await asyncio.to_thread(self.quotas.check_room)
            await self.app(scope, self.counted(receive, most, answer), listen)
            if answer.started and reply.startswith(b'['):  # the paths of the files
                self.quotas.keep(visitor, json.loads(reply))

    async def post(self, scope: Message, receive: Receive, answer: 'Answer') -> None:
        """Answer a request with a JSON body."""
        announced(scope, OVERHEAD)
        counted = self.counted(receive, OVERHEAD, answer)
        body = b''
        while True:
            message = await counted()
            if message['type'] == 'http.disconnect':
                if answer.too_long is not None:
                    raise answer.too_long
                answer.left = True
                return
            body += message.get('body', b'')
            if not message.get('more_body', False):
                break
        values = parse_json(body, self.limits)
        path = scope['path']
        if path == CANCEL:
            body = cancel_body(values, self.inputs)
        elif path == RESET:
            body = reset_body(values)
        else:
            body = event_body(values, self.inputs, self.paths)
        if path == JOIN:
            await asyncio.to_thread(self.quotas.check_room)
            if self.waiting is not None:
                await self.waiting.admit(visitor_of(scope))
        await self.app(with_body(scope, body), once(body, receive), answer)

    def counted(self, receive: Receive, most: int, answer: 'Answer') -> Receive:
        """Return a `receive` that disconnects when a body exceeds `most` bytes or stops arriving."""
        received = 0
        whole = False

        async def count() -> Message:
            nonlocal received, whole
            if whole:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), self.limits.idle_seconds)
            except asyncio.TimeoutError:
                answer.too_long = Refused(408, 'The body of the request does not come.')
                return {'type': 'http.disconnect'}
            received += len(message.get('body', b''))
            whole = not message.get('more_body', False)
            if received > most:
                answer.too_long = Refused(413, f'A request may have {most} bytes.')
                return {'type': 'http.disconnect'}
            if message['type'] == 'http.disconnect':
                answer.left = True
            return message

        return count


class Answer:
    """A `send` for one answer that adds protective headers, and hides paths and Gradio's messages for errors."""

    def __init__(self, send: Send, paths: FilePaths) -> None:
        self.send = send
        self.hiding = HidingPaths(self.protected, paths)
        self.started = False
        self.broken = False  # whether Gradio reports a failure, whose exception follows
        self.status = 0  # of a refusal by Gradio
        self.words = b''  # of a refusal by Gradio
        self.left = False  # whether the visitor has disconnected
        self.too_long: Refused | None = None  # reason why the body was not read to its end
        self.pending: Message | None = None

    async def __call__(self, message: Message) -> None:
        """Process a message of Gradio."""
        if message['type'] == 'http.response.start':
            plain = dict(message['headers']).get(b'content-type', b'').startswith(b'text/plain')
            self.broken = plain and message['status'] == 500
            self.status = message['status'] if plain and 400 <= message['status'] < 500 else 0
        if self.broken:
            return
        if not self.status:
            await self.hiding(message)
            return
        self.words += message.get('body', b'')
        if message['type'] == 'http.response.body' and not message.get('more_body', False):
            words = ' '.join(self.words.decode(errors='replace').split())[:LONGEST_WORDS]
            await refuse(self.hiding, Refused(self.status, words))

    async def protected(self, message: Message) -> None:
        """Send a message, the first one with protective headers."""
        if message['type'] == 'http.response.start' and is_page(message):
            self.pending = message
        elif self.pending is not None:
            begin, self.pending = self.pending, None
            await self.begin(begin, message.get('body', b''))
            await self.send(message)
        elif message['type'] == 'http.response.start':
            await self.begin(message)
        else:
            await self.send(message)

    async def begin(self, message: Message, page: bytes = b'') -> None:
        """Send the beginning of an answer."""
        self.started = True
        await self.send({**message, 'headers': secured(list(message['headers']), page)})

    async def refuse(self, refused: Refused) -> None:
        """Refuse a request, unless an answer has begun or the visitor has disconnected."""
        if not self.started and not self.left:
            await refuse(self.protected, self.too_long or refused)


def forwarded(scope: Message) -> list[tuple[bytes, bytes]]:
    """Return the headers of a request for Gradio, without claims about addresses.

    Nor may an answer be compressed in which paths are to be replaced.
    """
    plain = not scope['path'].startswith(('/assets/', '/static/'))
    return [
        (name, value)
        for name, value in scope['headers']
        if not name.startswith(FORWARDED) and not (plain and name == b'accept-encoding')
    ]


def query_name(scope: Message, key: str) -> str:
    """Return the name of a session or an upload in the query of a request."""
    names = parse_qs(scope['query_string'].decode('latin-1')).get(key, [])
    if len(names) != 1 or NAME.fullmatch(names[0]) is None:
        raise Refused(400, f'{key} has to be a name of at most 64 letters, digits, hyphens and underscores.')
    return names[0]


def announced(scope: Message, most: int) -> int:
    """Return the length of the body in the header of a request, or 0; raise Refused if it is too long."""
    length = header(scope, 'content-length')
    size = int(length) if length.isdigit() else 0
    if size > most:
        raise Refused(413, f'A request may have {most} bytes.')
    return size


def with_body(scope: Message, body: bytes) -> Message:
    """Return a request with another body."""
    headers = [
        (name, value) for name, value in scope['headers'] if name not in (b'content-length', b'transfer-encoding')
    ]
    return {**scope, 'headers': [*headers, (b'content-length', str(len(body)).encode())]}


def once(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` with a body, followed by the messages of the visitor."""
    messages = [dict(type='http.request', body=body, more_body=False)]

    async def take() -> Message:
        return messages.pop() if messages else await receive()

    return take


def __getattr__(name: str) -> object:
    return moved_name(__name__, name)
