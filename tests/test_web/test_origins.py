import pytest

from mmcm.utils.errors import InputError
from mmcm.web.answers import Refused
from mmcm.web.origins import Origins, parse_authority

PORT = 7860


def status(origins, host=f'127.0.0.1:{PORT}', server='127.0.0.1', method='GET', path='/config', scheme='http', **more):
    """Return the status by which a request is refused, 200 if it is not."""
    headers = dict(host=host, **{name.replace('_', '-'): value for name, value in more.items()})
    try:
        origins.check(
            dict(
                server=(server, PORT),
                scheme=scheme,
                method=method,
                path=path,
                headers=[(name.encode(), value.encode()) for name, value in headers.items() if value is not None],
            )
        )
    except Refused as refused:
        return refused.status
    return 200


@pytest.mark.parametrize(
    'text, expected',
    [
        ('localhost:7860', ('localhost', 7860)),
        ('LocalHost.', ('localhost', None)),
        ('[::1]:80', ('::1', 80)),
        ('[::ffff:127.0.0.1]', ('127.0.0.1', None)),
        ('[0:0:0:0:0:0:0:1]', ('::1', None)),
        ('', None),
        ('a:b', None),
        ('a:123456', None),
        ('me@a', None),
        ('a/b', None),
        ('::1', None),
        ('a b', None),
        ('a\n', None),
    ],
)
def test_authority_is_a_name_and_a_port(text, expected):
    assert parse_authority(text) == expected


@pytest.mark.parametrize(
    'host, server, expected',
    [
        ('127.0.0.1:7860', '127.0.0.1', 200),
        ('localhost:7860', '127.0.0.1', 200),
        ('[::1]:7860', '::1', 200),
        ('localhost:7860', '::1', 200),
        ('127.0.0.1:7860', '::ffff:127.0.0.1', 200),
        ('LOCALHOST:7860', '127.0.0.1', 200),
        ('192.0.2.7:7860', '192.0.2.7', 200),  # the address of the machine to which the connection came
        ('evil.example:7860', '127.0.0.1', 421),
        ('127.0.0.1', '127.0.0.1', 421),
        ('127.0.0.1:80', '127.0.0.1', 421),
        ('localhost.evil.example:7860', '127.0.0.1', 421),
        ('127.0.0.1.evil.example:7860', '127.0.0.1', 421),
        ('192.0.2.8:7860', '192.0.2.7', 421),
        ('localhost:7860', '192.0.2.7', 421),
        ('', '127.0.0.1', 421),
        (None, '127.0.0.1', 421),
        ('127.0.0.1:7860@evil.example', '127.0.0.1', 421),
    ],
)
def test_host_is_an_address_of_the_connection(host, server, expected):
    assert status(Origins('0.0.0.0'), host, server) == expected


def test_host_may_be_the_one_that_the_server_was_started_with():
    assert status(Origins('box.example'), f'box.example:{PORT}') == 200
    assert status(Origins('box.example'), 'box.example:1') == 421


def test_allowed_hosts_have_the_usual_port_or_that_of_the_server_or_their_own():
    named = Origins(allowed=['demo.example'])
    assert [status(named, host) for host in ('demo.example', 'demo.example:7860', 'demo.example:8443')] == [
        200,
        200,
        421,
    ]
    ported = Origins(allowed=['demo.example:8443'])
    assert [status(ported, host) for host in ('demo.example:8443', 'demo.example')] == [200, 421]
    with pytest.raises(InputError, match="--allowed-host .* got 'https://demo"):
        Origins(allowed=['https://demo.example'])


@pytest.mark.parametrize(
    'origin, expected',
    [
        (f'http://127.0.0.1:{PORT}', 200),
        ('http://evil.example', 403),
        ('null', 403),
        ('file://', 403),
        ('http://127.0.0.1:8888', 403),
        (f'http://localhost:{PORT}', 403),
        ('http://127.0.0.1', 403),
        ('nonsense', 403),
    ],
)
@pytest.mark.parametrize('method', ['GET', 'POST'])
def test_origin_is_that_of_the_page(method, origin, expected):
    assert status(Origins(), method=method, origin=origin) == expected


def test_origin_behind_a_proxy_is_its_name():
    origins = Origins(allowed=['demo.example'])
    assert status(origins, 'demo.example', origin='https://demo.example', scheme='https') == 200
    assert status(origins, origin='https://demo.example') == 200
    assert status(origins, 'demo.example', origin='https://demo.example:8443', scheme='https') == 403


@pytest.mark.parametrize(
    'site, more, expected',
    [
        ('same-origin', {}, 200),
        ('none', {}, 200),
        ('cross-site', {}, 403),
        ('same-site', {}, 403),
        ('cross-site', dict(path='/', sec_fetch_mode='navigate'), 200),  # a link to the page
        ('cross-site', dict(path='/', sec_fetch_mode='no-cors'), 403),
        ('cross-site', dict(path='/', sec_fetch_mode='navigate', method='POST'), 403),
    ],
)
def test_what_other_sites_send_is_refused_but_for_links(site, more, expected):
    assert status(Origins(), sec_fetch_site=site, **more) == expected


def test_two_hosts_are_none():
    with pytest.raises(Refused, match='one header host'):
        Origins().check(dict(headers=[(b'host', b'127.0.0.1:7860'), (b'host', b'evil.example')]))
