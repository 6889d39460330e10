"""Identity of a visitor for limits: an address."""

from ipaddress import IPv6Address, ip_address

from mmcm.web.answers import Message


def visitor_of(scope: Message) -> str:
    """Return the visitor who sent a request."""
    return visitor_at((scope.get('client') or ('', 0))[0])


def visitor_at(address: str) -> str:
    """Return the visitor of an address: itself, or its /64 network for IPv6, in which one may use any address."""
    try:
        parsed = ip_address(address.partition('%')[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        if not parsed.is_loopback:
            return str(IPv6Address(int(parsed) >> 64 << 64))
    return str(parsed)
