import base64
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip('gradio')

from mmcm.utils.errors import InputError
from mmcm.web.server import announce, environment, listening, temporary_folder
from support.image_folders import png_header
from support.web_server import PATIENCE, ROOT


def test_nothing_is_written_but_in_the_temporary_folder(web, client):
    client.predict('digits', '3', 4, 1, 0.0, 0, 2, False, 1.0, api_name='/sample')
    assert list(web.home.rglob('*')) == list(web.cwd.rglob('*')) == []
    (own,) = web.tmp.iterdir()
    assert own.name.startswith('mmcm-web-') and list(own.rglob('*.png'))


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_server_ends_though_a_step_is_drawn_that_has_no_end(start_server, tmp_path, own_network, number):
    begun = tmp_path / 'begun'
    call = f"open({str(begun)!r}, 'w').close()\n        while True:\n            time.sleep(0.1)"
    config, weights, variables = own_network('endless', call)
    server = start_server(tmp_path / 'web', '--model', config, '--checkpoint', weights, **variables)
    assert server.line == f'The web demo is at {server.url} (Ctrl-C ends it)\n'
    server.join('sample', '["own", "3", 1, 1, 0.0, 0, 1, false, 1]', 'drawing')
    with server.messages('drawing'):
        while not begun.exists():
            time.sleep(0.05)
        assert server.end(number) == 0
    assert server.output == ''
    assert list(server.tmp.iterdir()) == []


def test_password_is_asked_for_by_a_server_that_has_one(start_server, tmp_path):
    server = start_server(tmp_path, MMCM_WEB_AUTH='me:correct horse')
    status, headers, _ = server.request('GET', '/')
    assert status == 401 and headers['www-authenticate'].startswith('Basic ')
    for path in ('/config', '/gradio_api/info', '/assets/x.js', '/gradio_api/queue/data?session_hash=x'):
        assert server.request('GET', path)[0] == 401
    right, wrong = (
        'Basic ' + base64.b64encode(f'me:{password}'.encode()).decode()
        for password in ('correct horse', 'correct horst')
    )
    assert server.request('GET', '/', headers=dict(Authorization=right))[0] == 200
    statuses = [server.request('GET', '/', headers=dict(Authorization=wrong))[0] for _ in range(60)]
    assert statuses[:10] == [401] * 10 and 429 in statuses
    assert server.request('GET', '/', headers=dict(Authorization=right), address='127.0.0.2')[0] == 200
    command = subprocess.run(['ps', '-o', 'args=', '-p', str(server.process.pid)], capture_output=True, text=True)
    assert 'mmcm' in command.stdout and 'correct' not in command.stdout


def test_proxy_is_believed_whom_it_speaks_for_where_one_was_named(start_server, tmp_path, web):
    server = start_server(tmp_path, '--allowed-host', 'demo.example.org', '--auth', 'me:correct horse')
    right, wrong = (
        'Basic ' + base64.b64encode(f'me:{password}'.encode()).decode()
        for password in ('correct horse', 'correct horst')
    )

    def ask(visitor, authorization):
        return server.request(
            'GET',
            '/config',
            headers={
                'Host': 'demo.example.org',
                'X-Forwarded-For': visitor,
                'X-Forwarded-Proto': 'https',
                'Authorization': authorization,
                'Origin': 'https://demo.example.org',
            },
        )

    assert {ask('192.0.2.1', wrong)[0] for _ in range(60)} == {401, 429}
    status, _, answer = ask('192.0.2.2', right)
    assert status == 200 and json.loads(answer)['root'] == 'https://demo.example.org'
    for name in ('X-Forwarded-Host', 'X-Gradio-Server'):
        _, _, answer = web.request('GET', '/config', headers={name: 'evil.example', 'X-Forwarded-Proto': 'https'})
        assert json.loads(answer)['root'] == web.url.rstrip('/')


def test_foreign_host_and_origin_get_nothing(web):
    """As they come where a name of another site is made to mean 127.0.0.1."""
    netloc = urllib.parse.urlsplit(web.url).netloc
    port = netloc.partition(':')[2]
    for host in (f'evil.example:{port}', 'evil.example', '', None, f'127.0.0.1.evil.example:{port}'):
        status, headers, answer = web.request('GET', '/config', headers=dict(Host=host, Origin=f'http://{host}'))
        assert status in (400, 421) and b'components' not in answer
        assert not [name for name in headers if name.startswith('access-control')]
    for origin in ('http://evil.example', 'null', 'http://localhost:1'):
        for method, path in (
            ('GET', '/config'),
            ('POST', '/gradio_api/queue/join'),
            ('POST', '/gradio_api/upload'),
            ('GET', '/gradio_api/queue/data?session_hash=x'),
            ('OPTIONS', '/gradio_api/upload'),
        ):
            kind = 'multipart/form-data; boundary=x' if path.endswith('upload') else 'application/json'
            status, headers, _ = web.request(
                method, path, b'--x--' if method == 'POST' else None, {'Origin': origin, 'Content-Type': kind}
            )
            assert status == 403 and not [name for name in headers if name.startswith('access-control')]
    for host in (netloc, f'localhost:{port}'):
        assert web.request('GET', '/config', headers=dict(Host=host, Origin=f'http://{host}'))[0] == 200
    assert (
        web.request('GET', '/', headers={'Connection': 'Upgrade', 'Upgrade': 'websocket', 'Host': 'evil.example'})[0]
        == 421
    )


def test_every_answer_is_protected(web):
    _, path = web.upload(b'letter', 'letter.html')
    asked = [
        ('GET', path, None)
        for path in (
            '/',
            '/config',
            '/theme.css',
            '/nothing',
            '/gradio_api/info',
            f'/gradio_api/file={path}',
            '/gradio_api/queue/data?session_hash=x',
        )
    ]
    for method, path, body in [*asked, ('POST', '/gradio_api/queue/join', b'{}'), ('POST', '/gradio_api/upload', b'')]:
        _, headers, _ = web.request(method, path, body)
        assert headers['x-content-type-options'] == 'nosniff' and headers['x-frame-options'] == 'DENY', path
        assert "frame-ancestors 'none'" in headers['content-security-policy'], path
        assert 'server' not in headers


def test_no_answer_names_a_place_on_the_disk(web):
    places = [str(ROOT), str(web.tmp), str(web.home), str(Path(tempfile.gettempdir()) / 'mmcm-web-'), 'pytest-of-']
    _, picture = web.upload(png_header(8, 8))
    result = web.call('sample', '["colour", "", 1, 1, 0.0, 0, 1, false, 1]')[1]
    assert result['success'] and picture.startswith('files/')
    file = result['output']['data'][0]
    assert file['path'].startswith('files/')
    assert web.request('GET', urllib.parse.urlsplit(file['url']).path)[2].startswith(b'\x89PNG')
    answers = [web.ask(path)[1].decode() for path in ('', 'config', 'gradio_api/info', 'gradio_api/startup-events')]
    for answer in [*answers, picture, json.dumps(result)]:
        assert not [place for place in places if place in answer]


def test_long_texts_are_refused_and_not_repeated(web):
    for length, words in ((300, 'a class has to be'), (100_000, '2000 characters')):
        _, told = web.call('sample', json.dumps(['digits', 'b' * length, 1, 1, 0.0, 0, 1, False, 1.0]))
        assert words in json.dumps(told) and len(json.dumps(told)) < 2000
    _, told = web.call('sample', json.dumps(['d' * 1900, '3', 1, 1, 0.0, 0, 1, False, 1.0]))
    assert told['success'] is False and len(told['output']['error']) < 1100
    _, told = web.call('edit', json.dumps(['deblur', 'digits', '3', None, 1, 0, 0, '1' * 1900, 2, 0.5, 'x' * 900, 0.3]))
    assert told['success'] is False and len(told['output']['error']) < 300


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


@pytest.mark.parametrize(
    'path',
    [
        'gradio_api/file=/etc/passwd',
        'gradio_api/file=../../etc/passwd',
        'monitoring',
        'gradio_api/runs',
        'docs',
        'gradio_api/deep_link?session_hash=x',
        'gradio_api/openapi.json',
    ],
)
def test_nothing_else_is_served(web, path):
    assert web.ask(path)[0] in (403, 404)


@pytest.mark.parametrize('path', ['gradio_api/component_server', 'gradio_api/call/sample', 'gradio_api/vibe-edit/'])
def test_what_the_page_does_not_send_is_refused(web, path):
    status, told = web.ask(path, b'{}')
    assert status == 403 and b'makes no such request' in told


@pytest.mark.parametrize('name', ['sample', 'edit', 'interpolate', 'compare'])
def test_drawing_cannot_pass_the_queue(web, name):
    event = next(each for each in json.loads(web.ask('config')[1])['dependencies'] if each['api_name'] == name)
    body = json.dumps(dict(data=[None] * len(event['inputs']), fn_index=event['id'], session_hash='x')).encode()
    status, told = web.ask('gradio_api/run/predict', body, **{'Content-Type': 'application/json'})
    assert status == 404 and b'msg' not in told


def test_upload_may_have_as_many_bytes_as_was_said(web):
    assert web.upload(bytes(2 << 20))[0] == 200
    assert web.upload(bytes((2 << 20) + 1))[0] == 413
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(web.url).netloc, timeout=PATIENCE)
    connection.putrequest('POST', '/gradio_api/upload')
    connection.putheader('Content-Length', str(10 << 20))
    connection.putheader('Content-Type', 'multipart/form-data; boundary=x')
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


@pytest.mark.parametrize(
    'host, shown, warned',
    [('127.0.0.1', '127.0.0.1', False), ('0.0.0.0', '127.0.0.1', True), ('::1', '[::1]', False), ('::', '[::1]', True)],
)
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


def long_request(web, tab):
    """Return the data of an event that samples slowly: 33 or more network calls, of a second each."""
    slow = 'own'
    if tab == 'sample':
        asked = [slow, 'dog', 30, 17, 0.0, 0, 10, True, 1]
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


@contextmanager
def ended_before_its_end(web, counted):
    """Hold that what the block begins to draw is not drawn to its end: that would be 33 calls or more."""
    counted.calls.write_bytes(b'')
    yield
    assert web.call('sample', '["digits", "3", 4, 1, 0.0, 0, 2, false, 1]')[1]['success']  # drawn in the same thread
    assert 1 <= counted.calls.stat().st_size < 30


def test_drawing_ends_when_its_visitor_leaves(web, counted):
    with ended_before_its_end(web, counted):
        web.join('sample', long_request(web, 'sample'), 'leaving')
        with web.messages('leaving') as messages:
            begin(messages)


@pytest.mark.parametrize('tab', ['sample', 'edit', 'interpolate', 'compare'])
def test_drawing_ends_when_it_is_stopped(web, counted, tab):
    """The visitor stays."""
    with ended_before_its_end(web, counted):
        _, told = web.join(tab, long_request(web, tab), tab)
        with web.messages(tab) as messages:
            begin(messages)
            asked = dict(event_id=told['event_id'], session_hash=tab, fn_index=web.index_of(tab))
            assert web.post('cancel', json.dumps(asked)) == (200, dict(success=True))


def test_no_more_wait_than_was_said(web, counted):
    with ExitStack() as stack:
        web.join('sample', long_request(web, 'sample'), 'first')
        begin(stack.enter_context(web.messages('first')))
        waiting = '["digits", "3", 1, 1, 0.0, 0, 1, false, 1]'
        for session, address, expected in (('a', 1, 200), ('b', 1, 200), ('c', 1, 429), ('d', 2, 200), ('e', 3, 503)):
            status, told = web.join('sample', waiting, session, f'127.0.0.{address}')
            assert status == expected
            if status == 200:
                stack.enter_context(web.messages(session))
            else:
                assert 'as a visitor may' in told['detail'] if status == 429 else 'As many requests' in told['detail']
