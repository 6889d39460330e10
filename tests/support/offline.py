"""Run tests with no network but loopback: `unshare --net --map-root-user python tests/support/offline.py TEST ...`."""

import errno
import fcntl
import socket
import struct
import sys

import pytest

IFF_UP, SIOCGIFFLAGS, SIOCSIFFLAGS = 0x1, 0x8913, 0x8914  # Linux, netdevice(7)
OUTSIDE = ('192.0.2.1', 443)  # of TEST-NET-1 (RFC 5737), which is nobody's


def flags_of(interface, change=0):
    """Return the flags of a network interface, after `change` has been added to them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack('16sh14x', interface.encode(), 0)
        flags = struct.unpack('16sh14x', fcntl.ioctl(sock, SIOCGIFFLAGS, request))[1]
        if change:
            flags |= change
            fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack('16sh14x', interface.encode(), flags))
        return flags


def cut_off():
    """Bring loopback up, and make sure that there is no way to anywhere else."""
    flags_of('lo', IFF_UP)
    up = [name for _, name in socket.if_nameindex() if flags_of(name) & IFF_UP]
    assert up == ['lo'], up
    with socket.socket() as sock:
        assert sock.connect_ex(OUTSIDE) == errno.ENETUNREACH


if __name__ == '__main__':
    cut_off()
    sys.exit(pytest.main(sys.argv[1:]))
