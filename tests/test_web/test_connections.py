import socket
import urllib.parse

import pytest

pytest.importorskip('gradio')

from support.web_server import PATIENCE

IDLE = dict(idle_seconds=1, visitor_connections=8)


@pytest.fixture(scope='module')
def strict(tmp_path_factory):
    """A server with these limits, which ends with the module."""
    import signal

    from support.web_server import WebServer

    server = WebServer(tmp_path_factory.mktemp('strict'), limits=IDLE)
    yield server
    assert server.end(signal.SIGTERM) == 0 and server.output == ''


@pytest.fixture
def connect():
    """How to connect to a server, and send something."""
    sockets = []

    def open_(server, content=b'', address='127.0.0.1'):
        parts = urllib.parse.urlsplit(server.url)
        sockets.append(socket.create_connection((parts.hostname, parts.port), PATIENCE, (address, 0)))
        sockets[-1].sendall(content.replace(b'HOST', parts.netloc.encode()))
        return sockets[-1]

    yield open_
    for each in sockets:
        each.close()


def everything(connection):
    """Return what a connection says until it ends."""
    content = b''
    try:
        while chunk := connection.recv(1 << 16):
            content += chunk
    except ConnectionResetError:
        pass
    return content


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'GET / HT',
        b'GET /config HTTP/1.1\r\nhost: HOST\r\n',
        b'POST /gradio_api/cancel HTTP/1.1\r\nhost: HOST\r\n'
        b'content-type: application/json\r\ncontent-length: 9\r\n\r\n{',
        b'GET /nothing HTTP/1.1\r\nhost: HOST\r\n\r\nGET /not',
    ],
)
def test_connection_ends_whose_request_does_not_become_whole(strict, connect, content):
    connection = connect(strict, content)
    said = everything(connection)  # up to the end, which the server makes
    assert (b'408' in said) == (b'POST' in content) and (b'404' in said) == (b'nothing' in content)


def test_silent_connections_take_no_place_from_others(strict, connect):
    silent = [connect(strict) for _ in range(2 * IDLE['visitor_connections'])]
    assert strict.request('GET', '/config', address='127.0.0.2')[0] == 200
    ended = [everything(connection) for connection in silent]
    assert any(b'503' in said and b'nosniff' in said for said in ended)
    assert strict.request('GET', '/config')[0] == 200


def test_page_is_there_for_the_address_of_60_silent_connections(web, connect):
    for _ in range(60):
        connect(web)
    assert web.request('GET', '/')[0] == 200


def test_what_is_no_http_is_refused_like_the_rest(web, connect):
    said = everything(connect(web, b'\x16\x03\x01 hello\r\n\r\n'))
    assert said.startswith(b'HTTP/1.1 400 ') and b'nosniff' in said
