import os
from pathlib import Path

import pytest

from mmcm.web.answers import Refused
from mmcm.web.limits import Limits
from mmcm.web.quotas import Quotas

LIMITS = Limits(visitor_bytes=1000, kept_bytes=3000, kept_seconds=100, broken_seconds=10)


class Clock:
    """A time that is set."""

    now = 1e9

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def quotas(tmp_path, clock):
    return Quotas(LIMITS, tmp_path, clock)


def status(quotas, visitor, size, *paths):
    """Return the status by which an upload is refused, 200 if it is not."""
    try:
        with quotas.upload(visitor, size):
            quotas.check_room()
            quotas.keep(visitor, paths)
    except Refused as refused:
        return refused.status
    return 200


def test_visitor_may_upload_so_much_in_an_hour(quotas, clock, tmp_path):
    first, second = (str(tmp_path / name) for name in ('first', 'second'))
    for path in (first, second):
        Path(path).write_bytes(bytes(500))
    assert [status(quotas, 'a', 500, path) for path in (first, first, first, second)] == [200] * 4  # one came again
    assert status(quotas, 'a', 1) == 429
    assert status(quotas, 'b', 1000) == 200
    clock.now += 101
    quotas.forget()
    assert not quotas.kept
    assert status(quotas, 'a', 1000) == 200


def test_visitors_together_may_take_the_room_there_is(quotas, tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'result.png').write_bytes(bytes(2500))
    assert [status(quotas, 'a', size) for size in (100, 501)] == [200, 503]
    with quotas.upload('b', 500):
        assert status(quotas, 'c', 1) == 503
    assert status(quotas, 'c', 500) == 200


def test_what_is_old_or_broke_off_goes(quotas, clock, tmp_path):
    def write(name, age):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b'.')
        os.utime(path, (clock.now - age, clock.now - age))
        return path

    gone = [write('tmpabc', 11), write('old/a.png', 101)]
    kept = [write('tmpdef', 9), write('new/a.png', 99), write('config.json', 50), write('old2/tmpname', 50)]
    quotas.tidy()
    assert [path.exists() for path in gone] == [False, False] and all(path.exists() for path in kept)
    assert not (tmp_path / 'old').exists()


def test_total_of_a_server_is_refused_with_words(quotas):
    with pytest.raises(Refused, match='as much as a visitor may'), quotas.upload('a', 1001):
        pass
