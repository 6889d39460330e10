"""Password of the page, by HTTP basic authentication: without it, no request is answered."""

import base64
import binascii
import hashlib
import hmac
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from mmcm.utils.errors import InputError
from mmcm.web.answers import Message, Refused, header
from mmcm.web.visitors import visitor_of

VARIABLE = 'MMCM_WEB_AUTH'
FORM = 'has to be USER:PASSWORD, with a password of at least {} characters'
SHORTEST = 8  # characters of a password
TRIES = 10  # wrong passwords that an address may send at once
SECONDS = 5  # until it may send one more
MOST_ADDRESSES = 10_000  # addresses whose wrong passwords are counted


class Password:
    """Check of the user name and the password of every request.

    Wrong ones are counted per address: after `TRIES`, it has one try every `SECONDS`, and those in between are refused
    unread.

    Args:
        secret (str): USER:PASSWORD.
        clock (Callable): Returns the time in seconds.
    """

    def __init__(self, secret: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.digest = digest(secret.encode())
        self.clock = clock
        self.wrong: OrderedDict[str, tuple[float, float]] = OrderedDict()  # wrong tries, and the time of the last

    def check(self, scope: Message) -> None:
        """Raise Refused unless a request has the password."""
        given = header(scope, 'authorization')
        ask = ('www-authenticate', 'Basic realm="mmcm web", charset="UTF-8"')
        if not given:
            raise Refused(401, 'This server asks for a user name and a password.', ask)
        visitor = visitor_of(scope)
        count = self.count(visitor)
        if count > TRIES - 1:
            raise Refused(429, 'Too many wrong passwords: try again in a few seconds.', ('retry-after', str(SECONDS)))
        # Digests have a fixed length: the time of the comparison reveals nothing of the password.
        if not hmac.compare_digest(digest(credentials(given)), self.digest):
            self.wrong[visitor] = (count + 1, self.clock())
            self.wrong.move_to_end(visitor)
            if len(self.wrong) > MOST_ADDRESSES:
                self.wrong.popitem(last=False)
            raise Refused(401, 'The user name or the password is wrong.', ask)

    def count(self, visitor: str) -> float:
        """Return the number of wrong passwords of an address, minus one per `SECONDS` since the last."""
        count, when = self.wrong.get(visitor, (0, 0))
        return max(0, count - (self.clock() - when) / SECONDS)


def digest(text: bytes) -> bytes:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text).digest()


def credentials(given: str) -> bytes:
    """Return USER:PASSWORD from the header of a request, b'' if it is no basic authentication."""
    kind, _, encoded = given.partition(' ')
    try:
        return base64.b64decode(encoded.strip(), validate=True) if kind.lower() == 'basic' else b''
    except binascii.Error:
        return b''


def read_secret(given: str | None, path: str | None) -> str | None:
    """Return USER:PASSWORD from the argument, a file or the environment; None without any.

    Raises:
        InputError: If it has another form, or the file cannot be read.
    """
    name, secret = '--auth', given
    if path is not None:
        name = f'the first line of {path}'
        try:
            secret = (Path(path).read_text().splitlines() or [''])[0]
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, 'strerror', None) or 'it is no text'
            raise InputError(f'--auth-file {path} cannot be read: {reason}.') from error
    elif given is None and VARIABLE in os.environ:
        name, secret = f'${VARIABLE}', os.environ[VARIABLE]
    if secret is None:
        return None
    user, colon, password = secret.partition(':')
    if not user or not colon or len(password) < SHORTEST or not secret.isprintable():
        raise InputError(f'{name} {FORM.format(SHORTEST)}.')  # the message must not contain the secret
    return secret
