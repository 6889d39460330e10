"""Download a file so that it appears whole or not at all.

The bytes go to `<path>.part`, and the server's statements about them to `<path>.part.json`. A later call resumes from
there, also in another process. A complete file is compared with every known digest and with the length in its own
format, its SHA-256 is recorded in `<path>.sha256` as the tool `sha256sum` does, and only then it gets its name.
"""

import base64
import binascii
import hashlib
import json
import logging
import os
import re
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from email.message import Message
from http.client import HTTPException, HTTPResponse, InvalidURL
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from mmcm.checkpoints.integrity import why_incomplete
from mmcm.utils.bounded import Unreadable, parse_json, read_file, read_text
from mmcm.utils.errors import InputError
from mmcm.utils.progress import terminal
from mmcm.version import __version__

BLOCK = 1 << 16
MAX_BYTES = 2**36  # 69 GB; the largest released checkpoint has 2 GB
TIMEOUT = 30.0  # seconds without a byte
RETRY_DELAYS = (0.5, 2.0, 5.0)  # seconds; the count starts again whenever an attempt brought new bytes

Show = Callable[[int, int | None], None]


class _Failed(Exception):
    """A failure that another attempt would meet again."""


class _Dropped(Exception):
    """A failure that another attempt may not meet."""


def download(urls: str | Sequence[str], path: str | Path, *, sha256: str | None = None, progress: bool = True) -> Path:
    """Download a file to `path`, unless it is there.

    Processes that download to the same path wait for the first one. An existing file is taken as it is; with `sha256`
    and without a recorded digest (it was put there by hand), it is checked first.

    Args:
        urls (str | Sequence[str]): An http or https address, or several of the same file: each is tried when those in
            front of it have failed.
        path (str | Path): Where the file has to be; missing folders are made.
        sha256 (str, optional): Digest that the file must have. Without it, the digest recorded at an earlier download
            to the same path is compared.
        progress (bool): Whether to show bytes, speed and the remaining time on stderr.

    Returns:
        Path: `path`, whole and checked.

    Raises:
        InputError: If the file cannot be had; the message says for each address why, and where to put the file by hand.
    """
    urls = [urls] if isinstance(urls, str) else list(dict.fromkeys(urls))
    path = Path(path).expanduser()
    try:
        if not path.is_file():
            if offline():
                raise _Failed('MMCM_OFFLINE is set')
            path.parent.mkdir(parents=True, exist_ok=True)
            with _one_process_at_a_time(path):
                if not path.is_file():
                    _download_from_any(urls, path, sha256, progress)
        elif sha256 is not None:
            _check_existing(path, sha256)
    except _Failed as reason:
        what = urls[0] if len(urls) == 1 else f'{path.name} from any of its {len(urls)} addresses'
        raise InputError(
            f'cannot download {what}: {reason}; the file can be put by hand at {path.absolute()}'
        ) from reason
    except OSError as error:
        raise InputError(f'cannot write {path.absolute()}: {error.strerror or error}') from error
    return path


def offline() -> bool:
    """Return whether `MMCM_OFFLINE` forbids to use the network."""
    return os.environ.get('MMCM_OFFLINE', '').lower() not in ('', '0', 'no', 'off', 'false')


def _download_from_any(urls: Sequence[str], path: Path, sha256: str | None, progress: bool) -> None:
    reasons = []
    for url in urls:
        # Where others follow, one more attempt is enough.
        delays = RETRY_DELAYS if url == urls[-1] else RETRY_DELAYS[:1]
        try:
            return _download(url, path, sha256, delays, progress)
        except _Failed as reason:
            reasons.append(str(reason) if len(urls) == 1 else f'{url}: {reason}')
            logging.getLogger(__name__).info('%s: %s', url, reason)
    raise _Failed('; '.join(reasons))


def _download(url: str, path: Path, sha256: str | None, delays: Sequence[float], progress: bool) -> None:
    part = _Part(path, digest_known=(sha256 or recorded_sha256(path)) is not None)
    with _progress_bar(path.name, progress) as show:
        _fetch_with_retries(url, part, delays, show)
        found, reason = _inspect(part, path, sha256)
        if reason and part.facts.get('mixed'):  # the beginning came from elsewhere, and may be what is wrong
            part.discard()
            _fetch_with_retries(url, part, delays, show)
            found, reason = _inspect(part, path, sha256)
    if reason:
        part.discard()
        raise _Failed(reason)
    _sidecar(path).write_text(f'{found}  {path.name}\n', encoding='utf-8')
    part.path.replace(path)
    part.discard()


def _inspect(part: '_Part', path: Path, sha256: str | None) -> tuple[str, str | None]:
    """Return the SHA-256 of the bytes that arrived, and why they cannot be the requested file, or None."""
    found_md5, found = digests(part.path)
    declared_md5, recorded = part.facts.get('md5'), recorded_sha256(path)
    if declared_md5 not in (None, found_md5):
        return found, f'its MD5 is {found_md5}, the server declares {declared_md5}'
    if sha256 is not None:
        return found, None if found == sha256.lower() else f'its SHA-256 is {found}, expected {sha256.lower()}'
    if recorded is not None:
        return found, None if found == recorded else (
            f'it has changed since it was first downloaded, its SHA-256 is {found}, was {recorded} (to accept the '
            f'change, delete {_sidecar(path)})'
        )
    return found, why_incomplete(part.path, path.suffix)


def _check_existing(path: Path, sha256: str) -> None:
    found = recorded_sha256(path)
    if found is None:
        found = digests(path)[1]
        if found == sha256.lower():
            # A read-only cache is no reason to refuse a good file: it is checked again the next time.
            with suppress(OSError):
                _sidecar(path).write_text(f'{found}  {path.name}\n', encoding='utf-8')
    if found != sha256.lower():
        raise InputError(
            f'{path.absolute()}: its SHA-256 is {found}, expected {sha256.lower()}; delete it and '
            f'{_sidecar(path).name}, then run again'
        )


class _Part:
    """The bytes that have arrived so far, and the server's statements about the whole file.

    Args:
        path (Path): Where the whole file has to be.
        digest_known (bool): Whether the whole file will be compared with a digest.
    """

    def __init__(self, path: Path, digest_known: bool) -> None:
        self.path = path.with_name(path.name + '.part')
        self._facts_path = path.with_name(path.name + '.part.json')
        self._digest_known = digest_known

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def facts(self) -> dict[str, Any]:
        try:
            facts = parse_json(read_file(self._facts_path))
        except (FileNotFoundError, Unreadable):
            return {}
        return facts if isinstance(facts, dict) else {}

    def begin(self, facts: dict[str, Any]) -> None:
        self.discard()
        self._facts_path.write_text(json.dumps(facts), encoding='utf-8')
        self.path.touch()

    def go_on(self, facts: dict[str, Any]) -> bool:
        """Return whether bytes of the file that `facts` describe may be appended.

        They may, unless the server says that the file is another one. From another address than that of the first
        bytes, the server has to say that it is the same file, or a digest has to confirm it in the end.
        """
        earlier = self.facts

        def same(key: str) -> bool | None:
            values = facts[key], earlier.get(key)
            return None if None in values else values[0] == values[1]

        if same('size') is False:
            return False
        if facts['url'] == earlier.get('url', facts['url']):
            return same('validator') is not False
        if not (self._digest_known or same('validator')):
            return False
        self._facts_path.write_text(json.dumps({**earlier, 'mixed': True}), encoding='utf-8')
        return True

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._facts_path.unlink(missing_ok=True)


def _fetch_with_retries(url: str, part: _Part, delays: Sequence[float], show: Show) -> None:
    most, failures = part.size, 0
    while True:
        try:
            return _fetch(url, part, show)
        except _Dropped as reason:
            if part.size > most:
                most, failures = part.size, 0
            if failures == len(delays):
                again = f'{failures} more attempt{"s" * (failures > 1)} brought nothing new'
                raise _Failed(f'{reason}, {again} (run again to go on from there)') from reason
            delay = delays[failures]
            failures += 1
            logging.getLogger(__name__).info('%s: %s; trying again in %g s', url, reason, delay)
        time.sleep(delay)


def _fetch(url: str, part: _Part, show: Show) -> None:
    """Append the missing bytes to `part` by one request, or start over if the server cannot resume."""
    offset = part.size
    headers = {'User-Agent': f'mmcm/{__version__}'}
    if offset:
        headers['Range'] = f'bytes={offset}-'
    try:
        # urlopen would keep the proxies of its first call.
        opener = urllib.request.build_opener()
        response = opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416 and offset:  # nothing is left to send: all of it is here, or it belongs to another file
            size = error.headers.get('Content-Range', '').strip()
            if size == f'bytes */{offset}' and part.go_on(_facts(url, error.headers, offset)):
                return
            part.discard()
            return _fetch(url, part, show)
        reason = f'HTTP {error.code} {" ".join(str(error.reason).split())}'.rstrip()
        raise (_Dropped if error.code in (408, 429) or error.code >= 500 else _Failed)(reason) from error
    except URLError as error:
        if isinstance(error.reason, (TimeoutError, ConnectionResetError, ConnectionAbortedError, BrokenPipeError)):
            raise _Dropped(f'the connection failed ({error.reason})') from error
        raise _Failed(f'no connection{_through_proxy(url)} ({error.reason}), is this machine offline?') from error
    except (ValueError, InvalidURL) as error:
        raise _Failed(f'no usable address ({error})') from error
    except (OSError, HTTPException) as error:
        raise _Dropped(f'the connection failed ({error or type(error).__name__})') from error

    with response:
        start, total = _extent(response)
        facts = _facts(url, response.headers, total, part_of_it=response.status == 206)
        if start is None or start not in (0, offset) or (start and not part.go_on(facts)):
            if not offset:
                raise _Failed('the server sends a part of the file where all of it was asked for')
            part.discard()
            return _fetch(url, part, show)
        if response.headers.get_content_type() == 'text/html':
            raise _Failed('the server answers with a web page, not a file')
        if start == 0:
            part.begin(facts)
        _append(response, part, total, show)


def _facts(url: str, headers: Message, size: int | None, part_of_it: bool = False) -> dict[str, Any]:
    """Return the statements of a server about the whole file."""
    return dict(
        url=url,
        validator=headers.get('ETag') or headers.get('Last-Modified'),
        size=size,
        md5=_declared_md5(headers, part_of_it),
    )


def _through_proxy(url: str) -> str:
    """Name the proxy in use, which may be what is unreachable, without its password."""
    parts = urlsplit(url)
    proxy = None if urllib.request.proxy_bypass(parts.hostname or '') else urllib.request.getproxies().get(parts.scheme)
    return f' through the proxy {proxy.rpartition("//")[2].rpartition("@")[2]}' if proxy else ''


def _append(response: HTTPResponse, part: _Part, total: int | None, show: Show) -> None:
    received = part.size
    free = shutil.disk_usage(part.path.parent).free
    if total is not None and total - received > free:
        if not received:
            part.discard()
        raise _Failed(f'the server declares {total} bytes, and {free} are free on the disk; what has arrived is kept')
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
            if received > MAX_BYTES:
                part.discard()
                raise _Failed(f'more than {MAX_BYTES} bytes arrived')
            show(received, total)
        file.flush()
        os.fsync(file.fileno())
    # http.client ends a read in blocks without an error when the connection drops: the length has to be compared.
    if total is not None and received < total:
        raise _Dropped(_truncated(received, total))
    if total is not None and received > total:
        part.discard()
        raise _Failed(f'{received} bytes arrived, the server declares {total}')


def _truncated(received: int, total: int | None) -> str:
    return f'truncated, {received} of {"an unknown number of" if total is None else total} bytes arrived'


def _extent(response: HTTPResponse) -> tuple[int | None, int | None]:
    """Return the offset of the answer in the file (None if it does not say) and the size of the whole file."""
    declared = (response.headers.get('Content-Length') or '').strip()
    length = int(declared) if re.fullmatch('[0-9]{1,18}', declared) else None
    if response.status != 206:
        return 0, length
    stated = response.headers.get('Content-Range', '').strip()
    match = re.fullmatch(r'bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)', stated)
    if match is None:
        return None, None
    start = int(match[1])
    if match[2] != '*':
        return start, int(match[2])
    return start, None if length is None else start + length


def _declared_md5(headers: Message, part_of_it: bool) -> str | None:
    if headers.get('Content-MD5') and not part_of_it:  # else it is the digest of the part
        with suppress(binascii.Error):
            digest = base64.b64decode(headers['Content-MD5'], validate=True)
            return digest.hex() if len(digest) == 16 else None
    # An S3 store's ETag is the file's MD5 unless the store encrypts with keys. Elsewhere it may be the MD5 of
    # something else (Starlette takes time and size), so that a difference would prove nothing.
    encrypted = (
        'kms' in headers.get('x-amz-server-side-encryption', '')
        or 'x-amz-server-side-encryption-customer-algorithm' in headers
    )
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


def recorded_sha256(path: Path) -> str | None:
    """Return the SHA-256 that `path` had when it was downloaded, or None where none was recorded."""
    sidecar = _sidecar(path)
    try:
        words = read_text(sidecar).split() if sidecar.is_file() else []
    except Unreadable:  # it is no record of ours
        words = []
    return words[0].lower() if words else None


@contextmanager
def _one_process_at_a_time(path: Path) -> Iterator[None]:
    """Hold `<path>.lock`. The system releases it when the process ends, however it ends."""
    from filelock import FileLock  # is not imported where nothing is to be downloaded

    place = path.with_name(path.name + '.lock')
    lock = FileLock(str(place))
    with suppress(OSError):  # some network file systems know no locks; one process alone needs none
        lock.acquire()
    try:
        yield
        # Whoever still waits on the removed lock, or makes a new one, finds the file and has nothing to write.
        with suppress(OSError):  # Windows removes no open file; filelock removes it there itself
            place.unlink()
    finally:
        lock.release()


@contextmanager
def _progress_bar(name: str, visible: bool) -> Iterator[Show]:
    console = terminal() if visible else None
    if console is None:
        yield lambda received, total: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn('{task.description}', markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(name, total=None)
        yield lambda received, total: bar.update(task, completed=received, total=total)
