import json

import pytest

from mmcm.web.answers import Refused
from mmcm.web.file_paths import FilePaths
from mmcm.web.limits import Limits
from mmcm.web.request_bodies import DEPTH, VALUES, cancel_body, check_kind, event_body, parse_json, reset_body

LIMITS = Limits(text=100)


def deep(depth):
    return b'{"a": ' + b'[' * (depth - 1) + b']' * (depth - 1) + b'}'


@pytest.mark.parametrize(
    'body, words',
    [
        (b'', 'has to be JSON'),
        (b'nonsense', 'has to be JSON'),
        (b'{', 'has to be JSON'),
        (b'\xff{}', 'has to be JSON'),
        (b'{"a": NaN}', 'has to be JSON'),
        (b'{"a": -Infinity}', 'has to be JSON'),
        (b'{"a": 1e999}', 'has to be JSON'),
        (b'{"a": 9223372036854775808}', 'has to be JSON'),
        (b'{"a": ' + b'9' * 10_000 + b'}', 'has to be JSON'),
        (b'[]', 'JSON object'),
        (b'null', 'JSON object'),
        (b'"a"', 'JSON object'),
        (deep(DEPTH + 1), 'in each other'),
        (deep(500_000), 'in each other'),
        (b'[' * 500_000, 'in each other'),
        (json.dumps(dict(a=list(range(VALUES)))).encode(), f'{VALUES} values'),
        (json.dumps({str(key): 0 for key in range(VALUES)}).encode(), f'{VALUES} values'),
        (b'{"a": "' + b'b' * 101 + b'"}', '100 characters'),
        (b'{"' + b'b' * 101 + b'": 1}', '100 characters'),
        (rb'{"a": "\ud800"}', 'character'),
        (rb'{"a": "\u0000"}', 'character'),
    ],
)
def test_what_is_no_small_object_is_refused_in_one_line(body, words):
    with pytest.raises(Refused) as refused:
        parse_json(body, LIMITS)
    assert refused.value.status == 400 and words in str(refused.value) and '\n' not in str(refused.value)


def test_largest_that_passes():
    for body in (deep(DEPTH), b'{"a": "' + b'b' * 100 + b'"}', b'{"a": [-9223372036854775808, 1e308, null, true]}'):
        assert parse_json(body, LIMITS) == json.loads(body)
    assert len(parse_json(json.dumps(dict(a=list(range(VALUES - 3)))).encode(), LIMITS)['a']) == VALUES - 3


@pytest.mark.parametrize(
    'changes',
    [
        dict(fn_index=None),
        dict(fn_index='5'),
        dict(fn_index=True),
        dict(fn_index=6),
        dict(fn_index=5.0),
        dict(data=None),
        dict(data={}),
        dict(data=[]),
        dict(data=[1, 2]),
        dict(session_hash=None),
        dict(session_hash=4),
        dict(session_hash='a b'),
        dict(session_hash=''),
        dict(session_hash='a' * 65),
        dict(session_hash='a\n'),
        dict(trigger_id='a'),
        dict(trigger_id=False),
        dict(data=[dict(path='/etc/passwd')]),
    ],
)
def test_event_of_another_form_is_refused(tmp_path, changes):
    values = dict(data=[1], fn_index=5, session_hash='x', trigger_id=7)
    assert json.loads(event_body(values, {5: 1}, FilePaths(tmp_path))) == values
    with pytest.raises(Refused) as refused:
        event_body({**values, **changes}, {5: 1}, FilePaths(tmp_path))
    assert '\n' not in str(refused.value)


def test_other_bodies_are_of_their_form():
    values = dict(fn_index=5, session_hash='x', event_id='y')
    assert json.loads(cancel_body(dict(values, more=1), {5: 1})) == values
    assert json.loads(reset_body(values)) == dict(event_id='y')
    for changes in (dict(event_id=None), dict(fn_index=4), dict(session_hash=[])):
        with pytest.raises(Refused):
            cancel_body({**values, **changes}, {5: 1})
    with pytest.raises(Refused):
        reset_body({})


@pytest.mark.parametrize(
    'upload, kind, right',
    [
        (False, 'application/json', True),
        (False, 'Application/JSON; charset=utf-8', True),
        (False, 'text/plain', False),
        (False, '', False),
        (True, 'multipart/form-data; boundary=a', True),
        (True, 'multipart/form-data', False),
        (True, 'application/json', False),
        (True, 'multipart/form-data; boundary=', False),
    ],
)
def test_kind_of_a_body_is_that_of_its_path(upload, kind, right):
    if right:
        check_kind(upload, kind)
    else:
        with pytest.raises(Refused) as refused:
            check_kind(upload, kind)
        assert refused.value.status == 415
