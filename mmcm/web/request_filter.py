"""What stands before Gradio: requests that the page never makes do not get through."""

import asyncio
import json
import logging
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any
from urllib.parse import parse_qs

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
# Gradio takes others as well, among them such as run programs on what was uploaded, or write a file for who asks.
GETS = (
    '/',
    '/config',
    '/theme.css',
    '/favicon.ico',
    '/manifest.json',
    *(f'{API}/{name}' for name in ('info', 'queue/data', 'queue/status', 'startup-events', 'upload_progress')),
)
FILE, HEARTBEAT = f'{API}/file=', f'{API}/heartbeat/'
FOLDERS = ('/assets/', '/static/', FILE, HEARTBEAT)  # of which all is asked for
UPLOAD, JOIN, RUN, CANCEL, RESET = (
    f'{API}/{name}' for name in ('upload', 'queue/join', 'run/predict', 'cancel', 'reset')
)
POSTS = (UPLOAD, JOIN, RUN, CANCEL, RESET)
LISTEN = f'{API}/queue/data'
FILES = 4  # in one upload: a painted picture is sent as its layers
OVERHEAD = 1 << 20  # bytes of a body beside its files
LONGEST_PATH = 2000  # bytes of a path with its query
LONGEST_WORDS = 200  # characters by which Gradio refuses a request
FORWARDED = (b'forwarded', b'x-forwarded-', b'x-gradio-', b'x-real-ip')  # by which Gradio would say who it is
UNREADABLE = 'The body of the upload cannot be read.'
MISTAKE = 'The server has made a mistake at this request: its log says more.'


class Guard:
    """An ASGI application around Gradio's, which answers whoever asks, whatever they ask.

    Args:
        app (Callable): Gradio's.
        limits (Limits): What a request may hold; the body of an upload may be of `FILES` files and a little more, any
            other body is small.
        quotas (Quotas): How much visitors may upload.
        paths (FilePaths): Names for the files of the server.
        origins (Origins): The addresses under which the server is reached.
        password (Password, optional): What visitors have to bring.
        waiting (Waiting, optional): The queue.
        inputs (Mapping[int, int]): How many values each event takes, by its number.
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
        """Answer a request, or have Gradio answer it."""
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
            except Exception as error:  # of Gradio, which has answered by itself where it could
                if scope['path'] == UPLOAD and not isinstance(error, OSError):  # its parser raises whatever it likes
                    await answer.refuse(Refused(400, UNREADABLE))
                elif not answer.left:
                    logging.getLogger('mmcm').exception(MISTAKE)
                    await answer.refuse(Refused(500, MISTAKE))

    async def answer(self, scope: Message, receive: Receive, answer: 'Answer') -> None:
        """Answer a request; raise Refused if it may not be made."""
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
        listening = nullcontext()
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
        """Answer a request that brings files."""
        most = OVERHEAD + FILES * self.limits.upload_bytes
        size = announced(scope, most)
        visitor, said = visitor_of(scope), b''

        async def listen(message: Message) -> None:
            nonlocal said
            said += message.get('body', b'')
            await answer(message)

        with self.quotas.upload(visitor, size or most):
            await asyncio.to_thread(self.quotas.check_room)
            await self.app(scope, self.counted(receive, most, answer), listen)
            if answer.started and said.startswith(b'['):  # the paths of the files
                self.quotas.keep(visitor, json.loads(said))

    async def post(self, scope: Message, receive: Receive, answer: 'Answer') -> None:
        """Answer a request whose body is JSON."""
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
        """Return a `receive` by which the visitor has left as soon as a body becomes longer than `most` bytes, or no
        more of it comes.
        """
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
    """A `send` for one answer, which protects it, and keeps paths and Gradio's own words for mistakes out of it.

    Args:
        send (Callable): Where the answer goes.
        paths (FilePaths): Names for the files of the server.
    """

    def __init__(self, send: Send, paths: FilePaths) -> None:
        self.send = send
        self.hiding = HidingPaths(self.protected, paths)
        self.started = False
        self.broken = False  # Gradio says that it failed, and will raise why
        self.status = 0  # of an answer by which Gradio refuses a request
        self.words = b''  # of this answer
        self.left = False  # the visitor
        self.too_long: Refused | None = None  # why the body was not read to its end
        self.pending: Message | None = None

    async def __call__(self, message: Message) -> None:
        """Take a message of Gradio."""
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
        """Hand on a message, with headers that protect what is shown."""
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
        """Hand on the beginning of an answer."""
        self.started = True
        await self.send({**message, 'headers': secured(list(message['headers']), page)})

    async def refuse(self, refused: Refused) -> None:
        """Answer that a request is not met, unless an answer has begun, or the visitor has left."""
        if not self.started and not self.left:
            await refuse(self.protected, self.too_long or refused)


def forwarded(scope: Message) -> list[tuple[bytes, bytes]]:
    """Return the headers of a request for Gradio: none by which visitors say who they or the server were, and none that
    asks for an answer that is compressed, since paths are replaced in it.
    """
    plain = not scope['path'].startswith(('/assets/', '/static/'))
    return [
        (name, value)
        for name, value in scope['headers']
        if not name.startswith(FORWARDED) and not (plain and name == b'accept-encoding')
    ]


def query_name(scope: Message, key: str) -> str:
    """Return the name of a session, or an upload, in the query of a request."""
    names = parse_qs(scope['query_string'].decode('latin-1')).get(key, [])
    if len(names) != 1 or NAME.fullmatch(names[0]) is None:
        raise Refused(400, f'{key} has to be a name of at most 64 letters, digits, hyphens and underscores.')
    return names[0]


def announced(scope: Message, most: int) -> int:
    """Return how long the body of a request is to be, 0 if its header does not tell; Refused if it is too long."""
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
    """Return a `receive` that has a body, and then what comes from the visitor."""
    messages = [dict(type='http.request', body=body, more_body=False)]

    async def take() -> Message:
        return messages.pop() if messages else await receive()

    return take
