import asyncio

import pytest

pytest.importorskip('gradio')

from mmcm.web.guard import FILES, OVERHEAD, Guard  # noqa: E402

UPLOAD = '/gradio_api/upload'


def answer(chunks, path=UPLOAD, method='POST', headers=(), upload_bytes=1000):
    """Return what comes through a guard in front of an application that reads the whole body: status and body."""
    incoming = [dict(type='http.request', body=chunk, more_body=index < len(chunks) - 1)
                for index, chunk in enumerate(chunks)]
    sent, read = [], []

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

    async def receive():
        return incoming.pop(0)

    async def send(message):
        sent.append(message)

    scope = dict(type='http', path=path, method=method, headers=list(headers))
    asyncio.run(Guard(app, upload_bytes)(scope, receive, send))
    return sent[0]['status'] if sent else None, read


def test_body_without_a_length_is_cut_where_it_becomes_too_long():
    most = FILES * 1000 + OVERHEAD
    status, read = answer([bytes(most), b'', b''])
    assert status == 200 and len(read) == 3
    status, read = answer([bytes(most), b'.', b'..'])
    assert status is None and read == [bytes(most), 'left']


def test_length_that_is_announced_is_refused_at_once():
    assert answer([b''], headers=[(b'content-length', b'9999999')]) == (413, [])
    assert answer([b''], headers=[(b'content-length', b'nonsense')])[0] == 200


@pytest.mark.parametrize('path, method, status', [
    ('/', 'GET', 200), ('/', 'POST', 403), ('/gradio_api/call/sample', 'POST', 403), (UPLOAD, 'PUT', 403),
    (UPLOAD + '/', 'POST', 403), ('/gradio_api/file=https://there/x.png', 'GET', 403)])
def test_only_what_the_page_asks_for_comes_through(path, method, status):
    assert answer([b''], path, method)[0] == status
