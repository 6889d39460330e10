import base64
import hashlib

from mmcm.web.security_headers import secured


def test_every_answer_is_protected_once_and_open_to_no_other_site():
    headers = dict(
        secured(
            [
                (b'content-type', b'image/png'),
                (b'Access-Control-Allow-Origin', b'*'),
                (b'server', b'uvicorn'),
                (b'x-content-type-options', b'sniff'),
                (b'access-control-allow-credentials', b'true'),
            ]
        )
    )
    assert headers[b'content-type'] == b'image/png' and headers[b'x-content-type-options'] == b'nosniff'
    assert not [name for name in headers if name.lower().startswith((b'access-control', b'server'))]
    assert {b'x-frame-options', b'referrer-policy', b'cross-origin-resource-policy'} <= set(headers)
    policy = headers[b'content-security-policy']
    assert b"default-src 'none'" in policy and b"frame-ancestors 'none'" in policy and b'sandbox' in policy


def test_page_may_run_the_scripts_that_it_came_with_and_no_others():
    page = b'<script>one\n</script><script src="/a.js"></script><script type="module">two</script>'
    policy = dict(secured([], page))[b'content-security-policy'].decode()
    for script in (b'one\n', b'two'):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" in policy
    assert policy.count('sha256-') == 2
    scripts = next(part for part in policy.split('; ') if part.startswith('script-src'))
    assert "'unsafe-inline'" not in scripts and 'http' not in policy
