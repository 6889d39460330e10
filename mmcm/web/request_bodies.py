"""Bodies of requests: JSON in the few forms that the page sends, checked before Gradio reads it."""

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from mmcm.web.answers import Refused
from mmcm.web.file_paths import FilePaths
from mmcm.web.limits import Limits

NAME = re.compile(r'[A-Za-z0-9_-]{1,64}')  # of a session or an event
DEPTH = 8  # of nested lists and objects
VALUES = 1000  # in total
BOUNDARY = re.compile(r"""boundary=("[^"]{1,70}"|[^\s;"]{1,70})""")


def parse_json(body: bytes, limits: Limits) -> dict[str, Any]:
    """Parse the body of a request, a JSON object.

    Raises:
        Refused: If it is none, is too deep or long, or has numbers or texts beyond the limits of all events.
    """
    try:
        values = json.loads(body, parse_constant=no_number, parse_int=whole_number, parse_float=real_number)
    except RecursionError:
        raise Refused(400, f'The body of a request may have {DEPTH} lists and objects in each other.') from None
    except ValueError:
        raise Refused(400, 'The body of a request has to be JSON, in UTF-8.') from None
    if not isinstance(values, dict):
        raise Refused(400, 'The body of a request has to be a JSON object.')
    check_size(values, limits)
    return values


def no_number(text: str) -> NoReturn:
    """Raise a ValueError: JSON has no NaN or Infinity."""
    raise ValueError


def whole_number(text: str) -> int:
    """Return an integer of at most 64 bits; raise a ValueError otherwise."""
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise ValueError
    return int(text)


def real_number(text: str) -> float:
    """Return a finite number; raise a ValueError otherwise."""
    number = float(text)
    if abs(number) == float('inf'):
        raise ValueError
    return number


def check_size(values: Any, limits: Limits) -> None:
    """Raise Refused if values are too many or too deep, or texts too long."""
    waiting = [(values, 1)]
    count = 0
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if isinstance(value, (dict, list)):
            if depth > DEPTH:
                raise Refused(400, f'The body of a request may have {DEPTH} lists and objects in each other.')
            inner = [*value, *value.values()] if isinstance(value, dict) else value
            if count + len(waiting) + len(inner) > VALUES:
                raise Refused(400, f'The body of a request may have {VALUES} values.')
            waiting.extend((each, depth + 1) for each in inner)
        elif isinstance(value, str):
            if len(value) > limits.text:
                raise Refused(400, f'A text may have {limits.text} characters.')
            if re.search('[\ud800-\udfff\0]', value):
                raise Refused(400, 'A text has a character that is none.')


def event_body(values: dict[str, Any], inputs: Mapping[int, int], paths: FilePaths) -> bytes:
    """Return the body of a request to compute an event, with only the keys that Gradio needs.

    Args:
        values (dict): The body of the visitor.
        inputs (Mapping[int, int]): Number of values of each event, by its number.
        paths (FilePaths): The public names of files.
    """
    index, data = event_in(values, inputs), values.get('data')
    if not isinstance(data, list) or len(data) != inputs[index]:
        raise Refused(400, f'data has to be a list of {inputs[index]} values for this event.')
    trigger = values.get('trigger_id')
    if isinstance(trigger, bool) or not isinstance(trigger, (int, type(None))):
        raise Refused(400, 'trigger_id has to be an integer.')
    session = name_in(values, 'session_hash')
    return json.dumps(
        dict(data=paths.restored(data), fn_index=index, trigger_id=trigger, session_hash=session)
    ).encode()


def cancel_body(values: dict[str, Any], inputs: Mapping[int, int]) -> bytes:
    """Return the body of a request to stop an event."""
    names = {key: name_in(values, key) for key in ('session_hash', 'event_id')}
    return json.dumps(dict(fn_index=event_in(values, inputs), **names)).encode()


def reset_body(values: dict[str, Any]) -> bytes:
    """Return the body of a request to restart an event."""
    return json.dumps(dict(event_id=name_in(values, 'event_id'))).encode()


def event_in(values: Mapping[str, Any], inputs: Mapping[int, int]) -> int:
    """Return the number of an event in a request."""
    index = values.get('fn_index')
    if isinstance(index, bool) or not isinstance(index, int) or index not in inputs:
        raise Refused(400, 'fn_index has to be the number of an event.')
    return index


def name_in(values: Mapping[str, Any], key: str) -> str:
    """Return the name of a session or an event in a request."""
    name = values.get(key)
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise Refused(400, f'{key} has to be a name of at most 64 letters, digits, hyphens and underscores.')
    return name


def check_kind(path_is_upload: bool, kind: str) -> None:
    """Raise Refused unless the `content-type` of a request fits its path."""
    bare = kind.split(';')[0].strip().lower()
    if path_is_upload and (bare != 'multipart/form-data' or BOUNDARY.search(kind) is None):
        raise Refused(415, 'An upload has to be multipart/form-data with a boundary.')
    if not path_is_upload and bare != 'application/json':
        raise Refused(415, 'The body of a request has to be application/json.')
