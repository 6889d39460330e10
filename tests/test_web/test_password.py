import base64

import pytest

from mmcm.web.answers import Refused
from mmcm.web.password import SECONDS, TRIES, Password


class Clock:
    """A time that is set."""

    now = 1000.0

    def __call__(self):
        return self.now


def basic(secret):
    return 'Basic ' + base64.b64encode(secret.encode()).decode()


def status(password, given=None, address='192.0.2.1'):
    """Return the status by which a request is refused, 200 if it is not."""
    headers = [] if given is None else [(b'authorization', given.encode())]
    try:
        password.check(dict(headers=headers, client=(address, 5)))
    except Refused as refused:
        assert 'horse' not in str(refused)
        return refused.status
    return 200


def test_only_the_password_opens():
    password = Password('me:correct: hörse', Clock())
    assert status(password, basic('me:correct: hörse')) == 200
    wrong = (None, '', 'Basic', 'Basic !', 'Bearer x', basic('me'), basic('me:correct: hors'), basic(':'))
    assert [status(password, given) for given in wrong] == [401] * len(wrong)


def test_wrong_passwords_become_slow_for_their_address_alone():
    clock = Clock()
    password = Password('me:correct horse', clock)
    assert [status(password, basic('me:wrong')) for _ in range(TRIES + 1)] == [401] * TRIES + [429]
    assert status(password, basic('me:correct horse')) == 429  # else one could go on guessing
    assert status(password, basic('me:correct horse'), '192.0.2.2') == 200
    clock.now += SECONDS
    assert [status(password, basic('me:wrong')) for _ in range(2)] == [401, 429]
    clock.now += SECONDS
    assert status(password, basic('me:correct horse')) == 200


def test_no_password_at_all_is_no_try():
    password = Password('me:correct horse', Clock())
    assert [status(password) for _ in range(2 * TRIES)] == [401] * 2 * TRIES
    assert status(password, basic('me:correct horse')) == 200


def test_addresses_of_one_network_of_ipv6_count_together():
    password = Password('me:correct horse', Clock())
    for index in range(TRIES):
        assert status(password, basic('me:wrong'), f'2001:db8::{index}') == 401
    assert status(password, basic('me:wrong'), '2001:db8::ffff:1') == 429
    assert status(password, basic('me:wrong'), '2001:db8:0:1::1') == 401


@pytest.mark.parametrize('count', [3])
def test_addresses_that_are_remembered_are_bounded(monkeypatch, count):
    monkeypatch.setattr('mmcm.web.password.MOST_ADDRESSES', count)
    password = Password('me:correct horse', Clock())
    for index in range(10):
        status(password, basic('me:wrong'), f'192.0.2.{index}')
    assert len(password.wrong) == count
