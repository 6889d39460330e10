"""Texts in place of a file: Git LFS and git-annex pointers, HTML and XML answers of servers."""

import re
from pathlib import Path

HEAD = 512  # bytes that are read; a tar file is recognised by byte 257
TEXTS = (  # patterns at the beginning of texts, in lower case, after white space
    (
        rb'version https://git-lfs',
        'a Git LFS pointer in place of the file',
        'run git lfs pull in its repository, or download the file itself (from /resolve/ or media, not /raw/)',
    ),
    (
        rb'(\.\./)*(\.git)?/?annex/objects/',
        'a git-annex pointer in place of the file',
        'run git annex get, or download the file itself',
    ),
    (
        rb'<!doctype html|<html|<head|<body',
        'an HTML page',
        'a server answered with it in place of the file; open the address in a browser, and download the file '
        'itself (from /resolve/, not /blob/)',
    ),
    (rb'<\?xml|<error', 'an XML text', 'a server may have answered with an error; download the file again'),
)


def stand_in(path: Path) -> str | None:
    """Describe the page or pointer that lies in place of a file of any kind, and the way out; else return None."""
    with path.open('rb') as file:
        start = file.read(HEAD).removeprefix(b'\xef\xbb\xbf').lstrip().lower()
    return next(
        (f'{what} ({path.stat().st_size} bytes): {way}' for pattern, what, way in TEXTS if re.match(pattern, start)),
        None,
    )
