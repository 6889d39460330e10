import asyncio
import json
from types import SimpleNamespace

import pytest

pytest.importorskip('gradio')

from mmcm.web.guard import FILES, JOIN, OVERHEAD, UPLOAD, Guard  # noqa: E402
from mmcm.web.limits import Limits  # noqa: E402

CANCEL = '/gradio_api/cancel'


@pytest.fixture
def guard(tmp_path):
    """A guard in front of an application that reads the whole body: `ask` returns the answer's status, `read` has what
    was read.
    """
    read = []

    async def app(scope, receive, send):
        while True:
            message = await receive()
            if message['type'] == 'http.disconnect':
                read.append('left')
                return
            read.append(message['body'])
            if not message['more_body']:
                break
        await send(dict(type='http.response.start', status=200))

    stood = Guard(app, Limits(upload_bytes=1000, kept_bytes=FILES * 1000 + OVERHEAD + 500), tmp_path)

    async def answer(chunks, path=UPLOAD, method='POST', headers=(), kind='http'):
        incoming = [dict(type='http.request', body=chunk, more_body=index < len(chunks) - 1)
                    for index, chunk in enumerate(chunks)]
        sent = []

        async def receive():
            return incoming.pop(0)

        async def send(message):
            sent.append(message)

        await stood(dict(type=kind, path=path, method=method, headers=list(headers)), receive, send)
        return sent[0].get('status', sent[0]['type']) if sent else None

    def ask(*args, **options):
        return asyncio.run(answer(*args, **options))

    return SimpleNamespace(ask=ask, answer=answer, read=read, folder=tmp_path, guard=stood)


def length(number):
    """Return the header that tells the length of a body."""
    return [(b'content-length', str(number).encode())]


@pytest.mark.parametrize('path, most', [(UPLOAD, FILES * 1000 + OVERHEAD), (JOIN, OVERHEAD), (CANCEL, OVERHEAD)])
def test_body_without_a_length_is_cut_where_it_becomes_too_long(guard, path, most):
    assert guard.ask([bytes(most), b'', b''], path) == 200 and len(guard.read) == 3
    guard.read.clear()
    assert guard.ask([bytes(most), b'.', b'..'], path) is None
    assert guard.read == [bytes(most), 'left']
    assert guard.guard.arriving == 0


def test_length_that_is_announced_is_refused_at_once(guard):
    assert guard.ask([b''], headers=length(FILES * 1000 + OVERHEAD + 1)) == 413
    assert guard.ask([b''], JOIN, headers=length(OVERHEAD + 1)) == 413
    assert guard.read == []
    assert guard.ask([b''], headers=[(b'content-length', b'nonsense')]) == 200


@pytest.mark.parametrize('path, method, status', [
    ('/', 'GET', 200), ('/', 'POST', 403), ('/gradio_api/call/sample', 'POST', 403), (UPLOAD, 'PUT', 403),
    (UPLOAD + '/', 'POST', 403), ('/gradio_api/file=https://there/x.png', 'GET', 403), ('/assets/a.js', 'GET', 200),
    ('/gradio_api/deep_link', 'GET', 404), ('/gradio_api/custom_component/a/client/b/c', 'GET', 404),
    ('/gradio_api/stream/a/b/1/playlist-file', 'GET', 404), ('/monitoring/summary', 'HEAD', 404)])
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
    assert guard.ask([b''], JOIN) == 200
    (guard.folder / 'more.png').write_bytes(bytes(101))
    assert [guard.ask([b''], path) for path in (UPLOAD, JOIN, CANCEL)] == [503, 503, 200]
    assert guard.guard.arriving == 0


def test_uploads_that_arrive_together_count_together(guard):
    async def both():
        return await asyncio.gather(*(guard.answer([b''], headers=length(guard.guard.limits.kept_bytes * 2 // 3))
                                      for _ in range(2)))

    assert sorted(asyncio.run(both())) != [200, 200]
    assert guard.ask([b'']) == 200


def test_refusal_says_why_in_one_line(guard):
    body = []

    async def send(message):
        body.append(message)

    scope = dict(type='http', path='/gradio_api/deep_link', method='GET', headers=[])
    asyncio.run(guard.guard(scope, None, send))
    assert json.loads(body[1]['body']) == dict(detail='The page makes no such request.')
