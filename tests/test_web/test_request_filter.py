import asyncio
import json
import logging
from types import SimpleNamespace

import pytest

pytest.importorskip('gradio')

from mmcm.web.file_paths import FilePaths
from mmcm.web.limits import Limits
from mmcm.web.origins import Origins
from mmcm.web.password import Password
from mmcm.web.quotas import Quotas
from mmcm.web.request_filter import CANCEL, FILES, JOIN, OVERHEAD, RESET, RUN, UPLOAD, RequestFilter

EVENT = b'{"data": [1], "fn_index": 5, "session_hash": "x"}'
KINDS = {UPLOAD: b'multipart/form-data; boundary=x'}


@pytest.fixture
def guard(tmp_path):
    """A guard in front of an application that reads the whole body: `ask` returns the answer's status, `read` has what
    was read, `sent` the messages of the last answer.
    """
    read, failures, last = [], [], SimpleNamespace(sent=[])

    async def app(scope, receive, send):
        if failures:
            await send(dict(type='http.response.start', status=500, headers=[(b'content-type', b'text/plain')]))
            await send(dict(type='http.response.body', body=b'Internal Server Error'))
            raise failures.pop()
        while scope['method'] == 'POST':
            message = await receive()
            if message['type'] == 'http.disconnect':
                read.append('left')
                return
            read.append(message['body'])
            if not message['more_body']:
                break
        read.append(scope['path'])
        await send(dict(type='http.response.start', status=200, headers=[]))
        await send(dict(type='http.response.body', body=b''))

    limits = Limits(upload_bytes=1000, kept_bytes=FILES * 1000 + OVERHEAD + 500, idle_seconds=600)
    stood = RequestFilter(app, limits, Quotas(limits, tmp_path), FilePaths(tmp_path), Origins(), inputs={5: 1})

    async def answer(chunks, path=UPLOAD, method='POST', headers=(), kind='http', query=b'', pause=None):
        incoming = [
            dict(type='http.request', body=chunk, more_body=index < len(chunks) - 1)
            for index, chunk in enumerate(chunks)
        ]
        last.sent = sent = []

        async def receive():
            if pause is not None:
                await pause()
            return incoming.pop(0)

        async def send(message):
            sent.append(message)

        kinds = [(b'content-type', KINDS.get(path, b'application/json'))]
        await stood(
            dict(
                type=kind,
                path=path,
                raw_path=path.encode(),
                query_string=query,
                method=method,
                scheme='http',
                client=('127.0.0.1', 9),
                server=('127.0.0.1', 7860),
                headers=[(b'host', b'127.0.0.1:7860'), *kinds, *headers],
            ),
            receive,
            send,
        )
        return sent[0].get('status', sent[0]['type']) if sent else None

    def ask(*args, **options):
        return asyncio.run(answer(*args, **options))

    return SimpleNamespace(
        ask=ask, answer=answer, read=read, folder=tmp_path, guard=stood, failures=failures, last=last
    )


def length(number):
    """Return the header that tells the length of a body."""
    return [(b'content-length', str(number).encode())]


def test_upload_without_a_length_is_cut_where_it_becomes_too_long(guard):
    most = FILES * 1000 + OVERHEAD
    assert guard.ask([bytes(most), b'', b'']) == 200 and len(guard.read) == 4
    guard.read.clear()
    guard.ask([bytes(most), b'.', b'..'])
    assert guard.read == [bytes(most), 'left']
    assert not guard.guard.quotas.arriving


@pytest.mark.parametrize('path', [JOIN, RUN, CANCEL, RESET])
def test_other_bodies_are_short_and_of_one_form(guard, path):
    assert guard.ask([bytes(OVERHEAD), b'.', b'..'], path) == 413
    assert guard.ask([b'{"data": ', b'nothing'], path) == 400
    assert guard.read == []


def test_event_reaches_gradio_with_what_it_needs_alone(guard):
    more = b'{"oauth_token": "x", "batched": true, "event_id": "y", "event_data": {"a": 1}, ' + EVENT[1:]
    assert guard.ask([more[:9], more[9:]], JOIN) == 200
    assert json.loads(guard.read[0]) == dict(data=[1], fn_index=5, session_hash='x', trigger_id=None)


def test_length_that_is_announced_is_refused_at_once(guard):
    assert guard.ask([b''], headers=length(FILES * 1000 + OVERHEAD + 1)) == 413
    assert guard.ask([b''], JOIN, headers=length(OVERHEAD + 1)) == 413
    assert guard.read == []
    assert guard.ask([b''], headers=[(b'content-length', b'nonsense')]) == 200


@pytest.mark.parametrize(
    'path, method, status',
    [
        ('/', 'GET', 200),
        ('/gradio_api/file=files/a/b.png', 'GET', 200),
        ('/gradio_api/file=/etc/passwd', 'GET', 403),
        ('/gradio_api/file=files/../a', 'GET', 403),
        ('/gradio_api/heartbeat/abc', 'GET', 200),
        ('/gradio_api/heartbeat/a b', 'GET', 400),
        ('/gradio_api/queue/data', 'GET', 400),
        ('/' + 'a' * 3000, 'GET', 414),
        ('/', 'POST', 403),
        ('/gradio_api/call/sample', 'POST', 403),
        (UPLOAD, 'PUT', 403),
        (UPLOAD + '/', 'POST', 403),
        ('/gradio_api/file=https://there/x.png', 'GET', 403),
        ('/assets/a.js', 'GET', 200),
        ('/gradio_api/deep_link', 'GET', 404),
        ('/gradio_api/custom_component/a/client/b/c', 'GET', 404),
        ('/gradio_api/stream/a/b/1/playlist-file', 'GET', 404),
        ('/monitoring/summary', 'HEAD', 404),
    ],
)
def test_only_what_the_page_asks_for_comes_through(guard, path, method, status):
    assert guard.ask([b''], path, method) == status


def test_nothing_speaks_by_a_websocket(guard):
    assert guard.ask([b''], '/', kind='websocket') == 'websocket.close'


def test_full_folder_takes_no_uploads_and_starts_nothing(guard):
    (guard.folder / 'deep').mkdir()
    (guard.folder / 'deep' / 'result.png').write_bytes(bytes(guard.guard.limits.kept_bytes - 100))
    assert guard.ask([b''], headers=length(100)) == 200
    assert guard.ask([b''], headers=length(101)) == 503
    assert guard.ask([b'']) == 503  # which may be as long as any
    assert guard.ask([EVENT], JOIN) == 200
    (guard.folder / 'more.png').write_bytes(bytes(101))
    assert [guard.ask([body], path) for body, path in ((b'', UPLOAD), (EVENT, JOIN), (EVENT, RUN))] == [503, 503, 200]
    assert not guard.guard.quotas.arriving


def test_uploads_that_arrive_together_count_together(guard):
    size = length(guard.guard.limits.kept_bytes * 2 // 3)

    async def both():
        counted, released = asyncio.Event(), asyncio.Event()

        async def pause():
            counted.set()
            await released.wait()

        first = asyncio.create_task(guard.answer([b''], headers=size, pause=pause))
        await counted.wait()
        second = await guard.answer([b''], headers=size)
        released.set()
        return await first, second

    assert asyncio.run(both()) == (200, 503)
    assert guard.ask([b'']) == 200


def test_refusal_says_why_in_one_line_and_is_protected(guard):
    guard.ask([b''], '/gradio_api/deep_link', 'GET')
    start, body = guard.last.sent
    assert json.loads(body['body']) == dict(detail='The page makes no such request.')
    assert dict(start['headers'])[b'x-content-type-options'] == b'nosniff'


def test_mistake_of_gradio_is_told_in_one_line_and_logged(guard, caplog):
    guard.failures.append(KeyError('what'))
    with caplog.at_level(logging.ERROR):
        assert guard.ask([EVENT], JOIN) == 500
    assert 'made a mistake' in json.loads(guard.last.sent[1]['body'])['detail'] and 'what' in caplog.text
    caplog.clear()
    guard.failures.append(KeyError('what'))  # of the parser of uploads
    assert guard.ask([b'']) == 400 and caplog.text == ''


def test_nothing_is_answered_without_the_password_or_to_another_host(guard):
    guard.guard.password = Password('me:correct horse')
    for path in ('/', '/config', '/assets/a.js', '/nothing'):
        assert guard.ask([b''], path, 'GET') == 401
    assert guard.ask([b'']) == guard.ask([EVENT], JOIN) == 401
    assert guard.ask([b''], '/', 'GET', headers=[(b'authorization', b'Basic bWU6Y29ycmVjdCBob3JzZQ==')]) == 200
    assert guard.ask([b''], '/', 'GET', headers=[(b'origin', b'http://evil.example')]) == 403


def test_body_that_does_not_come_is_not_waited_for(guard):
    guard.guard.limits = Limits(idle_seconds=0.01)

    async def ask():
        sent = []

        async def receive():
            await asyncio.sleep(3600)

        async def send(message):
            sent.append(message)

        headers = [(b'host', b'127.0.0.1:7860'), (b'content-type', b'application/json')]
        await guard.guard(
            dict(
                type='http',
                path=JOIN,
                raw_path=b'',
                query_string=b'',
                method='POST',
                scheme='http',
                server=('127.0.0.1', 7860),
                client=('127.0.0.1', 9),
                headers=headers,
            ),
            receive,
            send,
        )
        return sent[0]['status']

    assert asyncio.run(ask()) == 408
