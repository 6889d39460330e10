"""Download a file so that it appears whole or not at all.

The bytes go to `<path>.part`, with what the server said about them in `<path>.part.json`. A later call goes on from
there, also in another process. A file that has arrived is compared with every digest that is known, its SHA-256 is
recorded in `<path>.sha256`, in the format of the tool `sha256sum`, and only then does it get its name.
"""
import base64
import binascii
import hashlib
import json
import logging
import os
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse, InvalidURL
from pathlib import Path
from typing import Any, Optional, Union
from urllib.error import HTTPError, URLError

from mmcm.utils.errors import InputError
from mmcm.utils.progress import terminal
from mmcm.version import __version__

try:
    import fcntl
except ImportError:  # Windows: two processes that fetch the same file at once are not kept apart there
    fcntl = None

BLOCK = 1 << 16
TIMEOUT = 30.0  # seconds without a byte
RETRY_DELAYS = (0.5, 2.0, 5.0)  # seconds; the count starts again whenever an attempt brought new bytes

Show = Callable[[int, Optional[int]], None]


class _Failed(Exception):
    """A reason that another attempt would meet again."""


class _Dropped(Exception):
    """A reason that may be gone in a moment."""


def download(url: str, path: Union[str, Path], *, sha256: Optional[str] = None, progress: bool = True) -> Path:
    """Download `url` to `path`, unless the file is there.

    Processes that ask for the same path at the same time wait for the one that came first. A file that is there is
    taken as it is; where `sha256` is given and no digest was recorded (it was put there by hand), it is checked first.

    Args:
        url (str): An http or https address.
        path (str | Path): Where the file has to be; missing folders are made.
        sha256 (str, optional): Digest that the file must have. Without it, the digest recorded at an earlier download
            to the same path is asked for.
        progress (bool): Whether to show bytes, speed and the remaining time on stderr.

    Returns:
        Path: `path`, whole and checked.

    Raises:
        InputError: If the file cannot be had; the message says why and where to put it by hand.
    """
    path = Path(path).expanduser()
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with _one_process_at_a_time(path):
                if not path.is_file():
                    _download(url, path, sha256, progress)
        elif sha256 is not None:
            _check_existing(path, sha256)
    except _Failed as reason:
        raise InputError(f'cannot download {url}: {reason}; the file can be put by hand at '
                         f'{path.absolute()}') from reason
    except OSError as error:
        raise InputError(f'cannot write {path.absolute()}: {error.strerror or error}') from error
    return path


def _download(url: str, path: Path, sha256: Optional[str], progress: bool) -> None:
    part = _Part(path)
    with _progress_bar(path.name, progress) as show:
        _fetch_with_retries(url, part, show)
    found_md5, found_sha256 = digests(part.path)
    declared_md5 = part.facts.get('md5')
    sidecar = _sidecar(path)
    recorded = _recorded_sha256(path)
    reason = None
    if declared_md5 not in (None, found_md5):
        reason = f'its MD5 is {found_md5}, the server declares {declared_md5}'
    elif sha256 is not None and sha256.lower() != found_sha256:
        reason = f'its SHA-256 is {found_sha256}, expected {sha256.lower()}'
    elif sha256 is None and recorded not in (None, found_sha256):
        reason = (f'it has changed since it was first downloaded, its SHA-256 is {found_sha256}, was {recorded} '
                  f'(to accept the change, delete {sidecar})')
    if reason:
        part.discard()
        raise _Failed(reason)
    sidecar.write_text(f'{found_sha256}  {path.name}\n', encoding='utf-8')
    os.replace(part.path, path)
    part.discard()


def _check_existing(path: Path, sha256: str) -> None:
    found = _recorded_sha256(path)
    if found is None:
        found = digests(path)[1]
        if found == sha256.lower():
            # A read-only cache is no reason to refuse a good file: it is checked again the next time.
            with suppress(OSError):
                _sidecar(path).write_text(f'{found}  {path.name}\n', encoding='utf-8')
    if found != sha256.lower():
        raise InputError(f'{path.absolute()}: its SHA-256 is {found}, expected {sha256.lower()}; delete it and '
                         f'{_sidecar(path).name}, then run again')


class _Part:
    """The bytes that have arrived, and what the server said about the file that they begin."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(path.name + '.part')
        self._facts_path = path.with_name(path.name + '.part.json')

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def facts(self) -> dict[str, Any]:
        try:
            return json.loads(self._facts_path.read_text(encoding='utf-8'))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    def begin(self, facts: dict[str, Any]) -> None:
        self.discard()
        self._facts_path.write_text(json.dumps(facts), encoding='utf-8')
        self.path.touch()

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._facts_path.unlink(missing_ok=True)


def _fetch_with_retries(url: str, part: _Part, show: Show) -> None:
    most, failures = part.size, 0
    while True:
        try:
            return _fetch(url, part, show)
        except _Dropped as reason:
            if part.size > most:
                most, failures = part.size, 0
            if failures == len(RETRY_DELAYS):
                raise _Failed(f'{reason}, {failures} more attempts brought nothing new (run again to go on from '
                              'there)') from reason
            delay = RETRY_DELAYS[failures]
            failures += 1
            logging.getLogger(__name__).info('%s: %s; trying again in %g s', url, reason, delay)
        time.sleep(delay)


def _fetch(url: str, part: _Part, show: Show) -> None:
    """Append to `part` what is missing, with one request, or start over where the server cannot go on from there."""
    offset = part.size
    headers = {'User-Agent': f'mmcm/{__version__}'}
    if offset:
        headers['Range'] = f'bytes={offset}-'
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416 and offset:  # nothing is left to send: all of it is here, or it belongs to another file
            if error.headers.get('Content-Range', '').strip() == f'bytes */{offset}':
                return
            part.discard()
            return _fetch(url, part, show)
        reason = f'HTTP {error.code} {" ".join(str(error.reason).split())}'.rstrip()
        raise (_Dropped if error.code in (408, 429) or error.code >= 500 else _Failed)(reason) from error
    except URLError as error:
        if isinstance(error.reason, (TimeoutError, ConnectionResetError, ConnectionAbortedError, BrokenPipeError)):
            raise _Dropped(f'the connection failed ({error.reason})') from error
        raise _Failed(f'no connection ({error.reason}), is this machine offline?') from error
    except (ValueError, InvalidURL) as error:
        raise _Failed(f'no usable address ({error})') from error
    except (OSError, HTTPException) as error:
        raise _Dropped(f'the connection failed ({error or type(error).__name__})') from error

    with response:
        start, total = _extent(response)
        facts = {'validator': response.headers.get('ETag') or response.headers.get('Last-Modified'),
                 'md5': _declared_md5(response)}
        if start is None or start not in (0, offset) or (start and _differ(facts, part.facts)):
            if not offset:
                raise _Failed('the server sends a part of the file where all of it was asked for')
            part.discard()
            return _fetch(url, part, show)
        if response.headers.get_content_type() == 'text/html':
            raise _Failed('the server answers with a web page, not a file')
        if start == 0:
            part.begin(facts)
        _append(response, part, total, show)


def _append(response: HTTPResponse, part: _Part, total: Optional[int], show: Show) -> None:
    received = part.size
    show(received, total)
    with part.path.open('ab') as file:
        while True:
            try:
                block = response.read(BLOCK)
            except (OSError, HTTPException) as error:
                raise _Dropped(_truncated(received, total)) from error
            if not block:
                break
            file.write(block)
            received += len(block)
            show(received, total)
        file.flush()
        os.fsync(file.fileno())
    # http.client ends a read in blocks without an error when the connection drops: the length has to be compared.
    if total is not None and received < total:
        raise _Dropped(_truncated(received, total))
    if total is not None and received > total:
        part.discard()
        raise _Failed(f'{received} bytes arrived, the server declares {total}')


def _truncated(received: int, total: Optional[int]) -> str:
    return f'truncated, {received} of {"an unknown number of" if total is None else total} bytes arrived'


def _extent(response: HTTPResponse) -> tuple[Optional[int], Optional[int]]:
    """Return where the answer starts in the file (None if it does not say) and the size of the whole file."""
    length = response.headers.get('Content-Length')
    length = int(length) if length and length.isdigit() else None
    if response.status != 206:
        return 0, length
    match = re.fullmatch(r'bytes (\d+)-\d+/(\d+|\*)', response.headers.get('Content-Range', '').strip())
    if match is None:
        return None, None
    start = int(match[1])
    if match[2] != '*':
        return start, int(match[2])
    return start, None if length is None else start + length


def _differ(facts: dict[str, Any], earlier: dict[str, Any]) -> bool:
    """Whether the server says that the file is no longer the one that `earlier` was said of."""
    return None not in (facts['validator'], earlier.get('validator')) and facts['validator'] != earlier['validator']


def _declared_md5(response: HTTPResponse) -> Optional[str]:
    headers = response.headers
    if headers.get('Content-MD5') and response.status != 206:  # with 206 it is the digest of the part
        with suppress(binascii.Error):
            digest = base64.b64decode(headers['Content-MD5'], validate=True)
            return digest.hex() if len(digest) == 16 else None
    # An S3 store's ETag is the file's MD5 unless the store encrypts with keys. Elsewhere it may be the MD5 of
    # something else (Starlette takes time and size), so that a difference would prove nothing.
    encrypted = ('kms' in headers.get('x-amz-server-side-encryption', '')
                 or 'x-amz-server-side-encryption-customer-algorithm' in headers)
    etag = headers.get('ETag', '').strip('"').lower()
    if 'x-amz-request-id' in headers and not encrypted and re.fullmatch('[0-9a-f]{32}', etag):
        return etag
    return None


def digests(path: Path) -> tuple[str, str]:
    """Return MD5 and SHA-256 of a file, read once."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(1 << 20):
            md5.update(block)
            sha256.update(block)
    return md5.hexdigest(), sha256.hexdigest()


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + '.sha256')


def _recorded_sha256(path: Path) -> Optional[str]:
    sidecar = _sidecar(path)
    words = sidecar.read_text(encoding='utf-8').split() if sidecar.is_file() else []
    return words[0].lower() if words else None


@contextmanager
def _one_process_at_a_time(path: Path) -> Iterator[None]:
    """Hold `<path>.lock`. The system lets go of it when the process ends, however it ends."""
    if fcntl is None:
        yield
        return
    lock = path.with_name(path.name + '.lock')
    with lock.open('a') as file:
        with suppress(OSError):  # some network file systems know no locks; one process alone needs none
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
        # Whoever still waits on the removed lock, or makes a new one, finds the file and has nothing to write.
        lock.unlink(missing_ok=True)


@contextmanager
def _progress_bar(name: str, visible: bool) -> Iterator[Show]:
    console = terminal() if visible else None
    if console is None:
        yield lambda received, total: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    columns = (TextColumn('{task.description}', markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
               TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(name, total=None)
        yield lambda received, total: bar.update(task, completed=received, total=total)
