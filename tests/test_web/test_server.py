import http.client
import io
import json
import re
import signal
import socket
import time
import urllib.parse

import pytest
from PIL import Image

pytest.importorskip('gradio')

from web_server import WebServer  # noqa: E402

from mmcm.utils.errors import InputError  # noqa: E402
from mmcm.web.server import announce, environment, listening, temporary_folder  # noqa: E402


def test_nothing_is_written_but_in_the_temporary_folder(web, client):
    client.predict('digits', '3', 4, 1, 0.0, 0, 2, False, api_name='/sample')
    assert list(web.home.rglob('*')) == list(web.cwd.rglob('*')) == []
    own, = web.tmp.iterdir()
    assert own.name.startswith('mmcm-web-') and list(own.rglob('*.png'))


def test_interrupted_server_takes_its_folder_with_it_though_it_draws(tmp_path, models):
    server = WebServer(tmp_path, '--model', 'digits', models.slow, '--dtype', 'bfloat16')
    assert server.line == f'The web demo is at {server.url} (Ctrl-C ends it)\n'
    server.join('sample', long_request(server, models, 'sample'), 'drawing')
    with server.messages('drawing') as messages:
        begin(messages)
        started = time.monotonic()
        assert server.end(signal.SIGINT) == 0
        assert time.monotonic() - started < 6
    assert server.output == ''
    assert list(server.tmp.iterdir()) == []


def test_page_loads_nothing_from_elsewhere(web):
    """All that the page names as an address to load from is of the server itself."""
    _, page = web.ask('')
    page = page.decode()
    loaded = re.findall(r'<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)="([^"]*)"', page)
    assert loaded and not [address for address in loaded if re.match(r'(\w+:)?//', address)]
    sheets = [address for address in loaded if address.endswith('.css')] + ['theme.css']
    for sheet in sheets:
        status, text = web.ask(urllib.parse.urljoin('', sheet).removeprefix('./').lstrip('/'))
        assert status == 200
        assert not re.findall(rb'url\(\s*["\']?(?:https?:)?//|@import\s+["\']?(?:url\()?["\']?(?:https?:)?//', text)
    config = web.ask('config')[1].decode()
    assert '"stylesheets":[]' in config.replace(' ', '') and 'fonts.' not in config
    assert '"analytics_enabled":false' in config.replace(' ', '')


@pytest.mark.parametrize('path', ['gradio_api/file=http://127.0.0.1:9/x.png', 'gradio_api/proxy=http://127.0.0.1:9/x'])
def test_addresses_are_not_fetched(web, path):
    with socket.socket() as listener:  # nobody may knock here
        listener.bind(('127.0.0.1', 0))
        listener.listen()
        listener.settimeout(0.5)
        status, told = web.ask(path.replace(':9/', f':{listener.getsockname()[1]}/'))
        assert status == 403 and b'not fetched' in told
        with pytest.raises(socket.timeout):
            listener.accept()


@pytest.mark.parametrize('path', [
    'gradio_api/file=/etc/passwd', 'gradio_api/file=../../etc/passwd', 'monitoring', 'gradio_api/runs', 'docs',
    'gradio_api/deep_link?session_hash=x', 'gradio_api/openapi.json'])
def test_nothing_else_is_served(web, path):
    assert web.ask(path)[0] in (403, 404)


@pytest.mark.parametrize('path', ['gradio_api/component_server', 'gradio_api/call/sample', 'gradio_api/vibe-edit/'])
def test_what_the_page_does_not_send_is_refused(web, path):
    status, told = web.ask(path, b'{}')
    assert status == 403 and b'makes no such request' in told


@pytest.mark.parametrize('name', ['sample', 'edit', 'interpolate', 'compare'])
def test_drawing_cannot_pass_the_queue(web, name):
    body = f'{{"data": [], "fn_index": {web.index_of(name)}, "session_hash": "x"}}'.encode()
    status, told = web.ask('gradio_api/run/predict', body, **{'Content-Type': 'application/json'})
    assert status == 404 and b'msg' not in told


def test_upload_may_have_as_many_bytes_as_was_said(web):
    assert web.upload(bytes(2 << 20))[0] == 200
    assert web.upload(bytes((2 << 20) + 1))[0] == 413
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(web.url).netloc, timeout=30)
    connection.putrequest('POST', '/gradio_api/upload')
    connection.putheader('Content-Length', str(10 << 20))
    connection.endheaders()
    assert connection.getresponse().status == 413  # before anything is sent
    connection.close()
    assert not [path for path in web.tmp.rglob('*') if path.is_file() and path.stat().st_size > 2 << 20]


def test_taken_port_and_foreign_hosts_are_told():
    with listening('127.0.0.1', 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(InputError, match=f'cannot listen at 127.0.0.1, port {port}: .*--port'):
            with listening('127.0.0.1', port):
                pass
    for host in ('192.0.2.1', 'no.such.host.invalid', '300.1.1.1', 'a' * 80):
        with pytest.raises(InputError, match='--host'):
            with listening(host, 0):
                pass


@pytest.mark.parametrize('host, shown, warned', [
    ('127.0.0.1', '127.0.0.1', False), ('0.0.0.0', '127.0.0.1', True), ('::1', '[::1]', False), ('::', '[::1]', True)])
def test_address_is_one_to_open_and_openness_is_told(capsys, host, shown, warned):
    try:
        with listening(host, 0) as listener:
            port = listener.getsockname()[1]
            announce(listener)
    except InputError:
        pytest.skip('this machine has no IPv6')
    printed = capsys.readouterr().out
    assert printed.startswith(f'The web demo is at http://{shown}:{port}/ ')
    assert ('Anyone' in printed) == warned


def test_environment_is_put_back(monkeypatch):
    import os
    import tempfile
    monkeypatch.setenv('GRADIO_TEMP_DIR', '/there')
    monkeypatch.delenv('MPLCONFIGDIR', raising=False)
    with temporary_folder():
        folder = os.environ['GRADIO_TEMP_DIR']
        assert folder != '/there' and os.path.isdir(folder) and tempfile.gettempdir() == folder
    assert os.environ['GRADIO_TEMP_DIR'] == '/there' and 'MPLCONFIGDIR' not in os.environ
    assert not os.path.exists(folder) and tempfile.gettempdir() != folder
    with environment(MPLCONFIGDIR='x'):
        assert os.environ['MPLCONFIGDIR'] == 'x'
    assert 'MPLCONFIGDIR' not in os.environ


def long_request(web, models, tab):
    """Return the data of an event that draws for a long time, with the slow model."""
    slow = 'slow'
    if tab == 'sample':
        asked = [slow, 'dog', 30, 17, 0.0, 0, 10, True]
    elif tab == 'edit':
        picture = io.BytesIO()
        Image.new('RGB', (32, 32)).save(picture, 'png')
        file = dict(path=web.upload(picture.getvalue())[1], meta=dict(_type='gradio.FileData'))
        canvas = dict(background=file, layers=[], composite=None)
        asked = ['super-resolve', slow, '1', canvas, 16, 0, 100, '', 2, 0.5, '1', 0.3]
    elif tab == 'interpolate':
        asked = [slow, 0, 1, 'cat', 'hen', 30, 17]
    else:
        asked = ['digits', slow, '1', 30, 0, 100]
    return json.dumps(asked)


def begin(messages):
    """Wait until a drawing is under way."""
    assert any(message['msg'] == 'process_generating' for message in messages)


def assert_the_next_need_not_wait(web):
    started = time.monotonic()
    assert web.call('sample', '["digits", "3", 4, 1, 0.0, 0, 2, false]')[1]['success']
    assert time.monotonic() - started < 6


def test_drawing_ends_when_its_visitor_leaves(web, models):
    web.join('sample', long_request(web, models, 'sample'), 'leaving')
    with web.messages('leaving') as messages:
        begin(messages)
    assert_the_next_need_not_wait(web)


@pytest.mark.parametrize('tab', ['sample', 'edit', 'interpolate', 'compare'])
def test_drawing_ends_when_it_is_stopped(web, models, tab):
    """The visitor stays."""
    _, told = web.join(tab, long_request(web, models, tab), tab)
    with web.messages(tab) as messages:
        begin(messages)
        asked = dict(event_id=told['event_id'], session_hash=tab, fn_index=web.index_of(tab))
        assert web.post('cancel', json.dumps(asked)) == (200, dict(success=True))
        assert_the_next_need_not_wait(web)


def test_no_more_wait_than_was_said(web, models):
    web.join('sample', long_request(web, models, 'sample'), 'first')
    with web.messages('first') as messages:
        begin(messages)
        waiting = '["digits", "3", 1, 1, 0.0, 0, 1, false]'
        joined = [web.join('sample', waiting, f'waiting{index}') for index in range(4)]
        assert [status for status, _ in joined] == [200, 200, 200, 503]
        assert 'full' in joined[-1][1]['detail']
    for index in range(3):
        with web.messages(f'waiting{index}') as messages:
            assert any(message['msg'] == 'process_completed' and message['success'] for message in messages)
