"""Check of `Host` and `Origin`: only requests to and from the server's own addresses are answered.

A page of another site cannot read our answers, unless its name resolves to our address (DNS rebinding): then the
browser sends that name as `Host`. It can send requests, but their `Origin` and `Sec-Fetch-Site` name the other site.
"""

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import NamedTuple

from mmcm.utils.errors import InputError
from mmcm.web.answers import Message, Refused, header

AUTHORITY = re.compile(r'(\[[0-9a-f:.]+\]|[a-z0-9_][a-z0-9_.-]*)(?::([0-9]{1,5}))?', re.IGNORECASE)
ORIGIN = re.compile(r'(https?)://(.*)', re.IGNORECASE)
DEFAULT_PORTS = dict(http=80, https=443)


class Authority(NamedTuple):
    """A name or address, and a port or None."""

    name: str
    port: int | None


def parse_authority(text: str) -> Authority | None:
    """Parse `name`, `name:port` or `[::1]:port`; return None for anything else."""
    match = AUTHORITY.fullmatch(text)
    if match is None:
        return None
    name = match[1].lower().rstrip('.')
    return Authority(plain_address(name) or name, int(match[2]) if match[2] else None)


def plain_address(name: str) -> str | None:
    """Return an IP address in its canonical form, mapped IPv4 as IPv4; None for names."""
    try:
        address = ip_address(name.strip('[]'))
    except ValueError:
        return None
    return str(getattr(address, 'ipv4_mapped', None) or address)


class Origins:
    """The addresses under which visitors reach the server.

    These are, with the port of the connection: the local address of the connection, `localhost` if that is a loopback
    address, and `host`; and the names `allowed`, with their own port or without one.

    Args:
        host (str): The host to listen at.
        allowed (Sequence[str]): Other names, such as of a proxy: `demo.example.org` or `demo.example.org:8443`.
    """

    def __init__(self, host: str = '127.0.0.1', allowed: Sequence[str] = ()) -> None:
        self.host = plain_address(host) or host.lower()
        self.allowed: list[Authority] = []
        for name in allowed:
            parsed = parse_authority(name)
            if parsed is None:
                raise InputError(
                    '--allowed-host has to be a name or an address, with its port unless that is the '
                    f'usual one, such as demo.example.org or demo.example.org:8443; got {name!r}.'
                )
            self.allowed.append(parsed)

    def check(self, scope: Message) -> None:
        """Raise Refused if a request names another host, or comes from a page of another site."""
        host = parse_authority(header(scope, 'host'))
        if host is None or not self.knows(host, scope):
            raise Refused(
                421,
                'This server is not known by that name: open it by its address, or start it with --allowed-host NAME.',
            )
        origin = header(scope, 'origin')
        if origin and not self.own(origin, host):
            raise Refused(403, 'Requests from other sites are not answered.')
        site = header(scope, 'sec-fetch-site')
        link = scope['method'] == 'GET' and scope['path'] == '/' and header(scope, 'sec-fetch-mode') == 'navigate'
        if site and site not in ('same-origin', 'none') and not link:
            raise Refused(403, 'Requests from other sites are not answered.')

    def knows(self, host: Authority, scope: Message) -> bool:
        """Return whether `host` is a name of the server on the connection of a request."""
        address, local_port = scope['server']
        local = plain_address(address)
        names = {local, self.host}
        if local is not None and ip_address(local).is_loopback:
            names.add('localhost')
        if host.name in names and (host.port or DEFAULT_PORTS[scope['scheme']]) == local_port:
            return True
        return any(
            host.name == other.name and host.port in ({other.port} if other.port else {None, local_port})
            for other in self.allowed
        )

    def own(self, origin: str, host: Authority) -> bool:
        """Return whether `origin` is that of the page: the `host` of the request or an allowed one, with its port."""
        match = ORIGIN.fullmatch(origin)
        named = parse_authority(match[2]) if match else None
        if match is None or named is None:
            return False
        default = DEFAULT_PORTS[match[1].lower()]

        def same(other: Authority) -> bool:
            return named.name == other.name and (named.port or default) == (other.port or default)

        return same(host) or any(map(same, self.allowed))
