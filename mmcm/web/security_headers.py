"""Security headers, by which browsers isolate the page and its contents from other sites."""

import base64
import hashlib
import re

from mmcm.web.answers import Message

COMMON = (
    ('x-content-type-options', 'nosniff'),
    ('x-frame-options', 'DENY'),
    ('referrer-policy', 'same-origin'),  # with no-referrer, the `Origin` of a form is null
    ('cross-origin-resource-policy', 'same-origin'),
    ('cross-origin-opener-policy', 'same-origin'),
    ('permissions-policy', 'camera=(), microphone=(), geolocation=(), display-capture=()'),
)
# Gradio's page has inline scripts, which are listed by their digests, and styles that change as it runs. It compiles
# the `js` of events from text.
PAGE = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'{}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "manifest-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
REST = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
SCRIPT = re.compile(rb'<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>', re.DOTALL)
OF_GRADIO = (b'access-control-', b'server')  # prefixes of headers that are removed


def secured(headers: list[tuple[bytes, bytes]], page: bytes = b'') -> list[tuple[bytes, bytes]]:
    """Return Gradio's headers of an answer with security headers; `page` is its text, if it is the page."""
    policy = PAGE.format(''.join(f" '{digest}'" for digest in digests(page))) if page else REST
    added = [*COMMON, ('content-security-policy', policy)]
    names = {name.encode() for name, _ in added}
    kept = [
        (name, value) for name, value in headers if name.lower() not in names and not name.lower().startswith(OF_GRADIO)
    ]
    return kept + [(name.encode(), value.encode()) for name, value in added]


def digests(page: bytes) -> list[str]:
    """Return the digests of the scripts in the text of a page, in the form of a policy."""
    return ['sha256-' + base64.b64encode(hashlib.sha256(script).digest()).decode() for script in SCRIPT.findall(page)]


def is_page(message: Message) -> bool:
    """Return whether the first message of an answer declares HTML."""
    return any(name.lower() == b'content-type' and value.startswith(b'text/html') for name, value in message['headers'])
