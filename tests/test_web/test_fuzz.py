"""Requests of any form, sent to a server: each is answered in one line, and the log stays empty."""

import json
import random

import pytest

pytest.importorskip('gradio')

from support.image_folders import png_header

ENDPOINTS = ('queue/join', 'run/predict', 'cancel', 'reset', 'upload', 'call/sample', 'component_server', 'vibe-edit/')
VALUES = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**400,
    1e308,
    0.5,
    '',
    'digits',
    '3',
    'a' * 300,
    'a' * 10_000,
    '\0',
    '\ud800',
    '<b>',
    '../..',
    [],
    {},
    [[]],
    dict(path='/etc/passwd'),
    dict(path=3),
    dict(path='files/a/b.png', meta=dict(_type='gradio.FileData')),
    dict(background=3, layers=4, composite=5),
    dict(background=None, layers=None, composite=None),
    dict(background=dict(path='files/a/b.png')),
    dict(layers=[dict(path='files/a/b.png', meta=dict(_type='gradio.FileData'))]),
    list(range(2000)),
)
DATA = dict(
    sample=['digits', '3', 1, 1, 0.0, 0, 1, False, 1.0],
    interpolate=['digits', 0, 1, '3', '4', 2, 1],
    compare=['digits', 'diffusion', '1', 1, 0, 1],
    edit=['deblur', 'digits', '3', dict(background=None, layers=[], composite=None), 1, 0, 0, '', 2, 0.5, '1 2 1', 0.3],
)


def mutated(rng, value):
    """Return JSON values with one of them, at any depth, replaced, left out or doubled."""
    if isinstance(value, (list, dict)) and value and rng.random() < 0.9:
        value = value.copy()
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        change = rng.randrange(6)
        if change == 0:
            del value[key]
        elif change == 1 and isinstance(value, list):
            value.insert(key, value[key])
        else:
            value[key] = mutated(rng, value[key])
        return value
    return rng.choice(VALUES)


def body_of(rng, events):
    """Return the body of a request, and its content type."""
    name = rng.choice(list(events))
    right = dict(
        data=DATA[name],
        fn_index=events[name],
        session_hash=f'fuzz{rng.randrange(10**9)}',
        event_id='e',
        trigger_id=None,
    )
    values = right
    for _ in range(rng.randrange(1, 3)):
        values = mutated(rng, values)
    text = json.dumps(values)
    kind = 'application/json'
    change = rng.randrange(12)
    if change == 0:
        text = text[: rng.randrange(len(text) + 1)]
    elif change == 1:
        text = text.replace('0', rng.choice(('NaN', '-Infinity', '1e999', '9' * 5000)), 1)
    elif change == 2:
        text = rng.choice(('[', '{"a":')) * rng.choice((10, 100_000))
    elif change == 3:
        kind = rng.choice(('', 'text/plain', 'multipart/form-data', 'application/json; charset=utf-16', 'a/b\xe4'))
    body = text.encode()
    if change == 4:
        body = rng.randbytes(rng.randrange(1000))
    elif change == 5:
        body = text.encode('utf-16')
    elif change == 6:
        body = bytes(2 << 20)
    return body, kind


def upload_of(rng):
    """Return the body of an upload, and its content type."""
    names = (b'a.png', b'', b'../../a', b'a\0', b'a' * 3000, b'\xff' * 9, b'a"b', b'.', b'..')
    part = rng.choice(
        (b'name="files"; filename="' + rng.choice(names) + b'"', b'name="files"', b'filename="a.png"', b'name="x"', b'')
    )
    end = rng.choice((b'\r\n--x--\r\n', b'\r\n--x', b'', b'--x--'))
    body = b'--x\r\nContent-Disposition: form-data; ' + part + b'\r\n\r\n' + png_header(8, 8) + end
    body = rng.choice((body, body, body, body.replace(b'\r\n', b'\n'), body[9:], b'', rng.randbytes(300)))
    kind = rng.choice(
        (
            'multipart/form-data; boundary=x',
            'multipart/form-data; boundary=x; charset=nonsense',
            'multipart/form-data; boundary="x"',
            'multipart/form-data; boundary=y',
            'multipart/form-data',
        )
    )
    return body, kind


def check_answer(status, headers, answer):
    """Hold that an answer is what was asked for, or one line that says why not."""
    assert status in (200, 400, 403, 404, 408, 413, 415, 429, 503), (status, answer)
    if status != 200:
        told = json.loads(answer)['detail']
        assert isinstance(told, str) and 0 < len(told) < 300 and '\n' not in told, answer
        assert headers['x-content-type-options'] == 'nosniff'


def check_event(web, session):
    """Hold that the answer of an event is a result, or one line that says why there is none."""
    with web.messages(session) as messages:
        last = next(message for message in messages if message['msg'] in ('process_completed', 'unexpected_error'))
    if not last.get('success'):
        told = last['output']['error']
        assert isinstance(told, str) and 0 < len(told) < 1100 and '\n' not in told, last
        assert 'made a mistake' not in told, last


@pytest.mark.parametrize('seed, rounds', [(0, 150), pytest.param(1, 3000, marks=pytest.mark.slow)])
def test_any_request_gets_a_line_and_none_a_traceback(web, seed, rounds):
    rng = random.Random(seed)
    events = {name: web.index_of(name) for name in DATA}
    before = web.log.read_text()
    taken = 0
    for _ in range(rounds):
        path = rng.choice((*ENDPOINTS[:5], *ENDPOINTS[:2], rng.choice(ENDPOINTS)))
        body, kind = upload_of(rng) if path == 'upload' else body_of(rng, events)
        try:
            status, headers, answer = web.request(
                'POST', f'/gradio_api/{path}', body, {'Content-Type': kind}, f'127.0.0.{rng.randrange(2, 200)}'
            )
        except (BrokenPipeError, ConnectionResetError):  # the body is refused before it has been sent
            assert len(body) > 1 << 20
            continue
        check_answer(status, headers, answer)
        if status == 200 and path == 'queue/join':
            check_event(web, json.loads(body)['session_hash'])
            taken += 1
    assert taken > 0
    assert web.log.read_text() == before
    assert web.call('sample', json.dumps(DATA['sample']))[1]['success']


@pytest.mark.parametrize(
    'query',
    [
        '',
        '?session_hash=',
        '?session_hash=a%20b',
        '?session_hash=a&session_hash=b',
        '?session_hash=' + 'a' * 1000,
        '?session_hash=%00',
        '?' + 'a' * 5000,
    ],
)
@pytest.mark.parametrize('path', ['queue/data', 'upload_progress', 'heartbeat/%00', 'file=', 'file=files/%2e%2e/a'])
def test_addresses_of_any_form_get_a_line(web, path, query):
    status, _, answer = web.request('GET', f'/gradio_api/{path}{query}')
    assert status in (400, 403, 414)
    assert '\n' not in json.loads(answer)['detail'] and len(answer) < 300
