"""Server of the web demo, with its socket and its temporary folder, which is removed at the end."""

import asyncio
import logging
import os
import socket
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Any

from mmcm.utils.errors import InputError
from mmcm.web.ending import Ending
from mmcm.web.limits import Limits

SECONDS_TO_CLOSE = 2  # for open connections at the end
SECONDS_TO_TIDY = 1  # between removals of expired files and requests


def serve(
    models: Sequence[str] = (),
    host: str = '127.0.0.1',
    port: int = 7860,
    device: str | None = None,
    dtype: str = 'auto',
    limits: Limits | None = None,
    checkpoint: str | None = None,
    allowed_hosts: Sequence[str] = (),
    secret: str | None = None,
) -> None:
    """Serve the web demo until SIGINT or SIGTERM.

    If the current step takes longer than a few seconds, the process ends with exit code 0 instead of a return. At a
    second signal it ends at once, with 128 plus the number of the signal.

    Args:
        models (Sequence[str]): See `mmcm.web.model_pool.ModelPool`, as for `device`, `dtype` and `checkpoint`.
        host (str): Address to listen at; only 127.0.0.1 and ::1 are for this machine alone.
        port (int): Port to listen at; 0 takes any that is free.
        device (str, optional): Device of the models.
        dtype (str): Precision of the networks.
        limits (Limits, optional): Limits of requests.
        checkpoint (str, optional): Weights for the one model that `models` names.
        allowed_hosts (Sequence[str]): Further names of the server; see `mmcm.web.origins.Origins`. With any, the
            forwarded addresses of a proxy on this machine are trusted.
        secret (str, optional): USER:PASSWORD of visitors.

    Raises:
        InputError: If Gradio is not installed, a model is unavailable, or the address cannot be bound.
    """
    limits = limits or Limits()
    if find_spec('gradio') is None:
        raise InputError(
            'the web demo needs Gradio, which is not installed: pip install -e ".[web]" (Python 3.10 or newer)'
        )
    ending = Ending()
    with listening(host, port) as listener, ending.on_signals(), temporary_folder() as folder:
        ending.folder = folder
        from mmcm.web.model_pool import ModelPool  # loads torch
        from mmcm.web.origins import Origins
        from mmcm.web.password import Password

        origins = Origins(host, allowed_hosts)
        pool = ModelPool(models, device, dtype, checkpoint)
        pool.check()
        run(listener, pool, limits, origins, Password(secret) if secret else None, ending)


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket bound to `host` and `port`; raise an InputError if it cannot be bound."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise InputError(
            f'--host {host} is no address of this machine: {getattr(error, "strerror", error)}. '
            '127.0.0.1 is for this machine alone, 0.0.0.0 for all that reach it.'
        ) from error
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen()
        except OSError as error:
            raise InputError(
                f'cannot listen at {host}, port {port}: {error.strerror}. Choose another --port (0 takes '
                'any that is free), or another --host.'
            ) from error
        yield listener


@contextmanager
def temporary_folder() -> Iterator[str]:
    """Yield a folder for all files of Gradio and others, which is removed after the block."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix='mmcm-web-', ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = folder
        try:
            # YAPF, imported by MMEngine, and Matplotlib, imported by Gradio, write caches to the home folder. Other
            # programs read YAPF's variable, too, so it is set for that import only.
            with environment(XDG_CACHE_HOME=folder):
                import mmengine.config  # noqa: F401
            with environment(GRADIO_ANALYTICS_ENABLED='False', GRADIO_TEMP_DIR=folder, MPLCONFIGDIR=folder):
                yield folder
        finally:
            tempfile.tempdir = before


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set environment variables during the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def run(listener: socket.socket, pool: Any, limits: Limits, origins: Any, password: Any, ending: Ending) -> None:
    """Serve `pool` at `listener` until a signal ends it."""
    import gradio
    import uvicorn
    from fastapi import FastAPI
    from gradio.utils import get_upload_folder

    from mmcm.web.app import build_app, page_options
    from mmcm.web.connections import limited_protocol
    from mmcm.web.file_paths import FilePaths
    from mmcm.web.opening import Opening
    from mmcm.web.quotas import Quotas
    from mmcm.web.request_filter import RequestFilter
    from mmcm.web.waiting import Waiting

    # FastAPI holds this warning of its own fields back in a way that is not safe in threads: some requests printed it.
    warnings.filterwarnings('ignore', "The 'alias' attribute with value", UserWarning)

    class Server(uvicorn.Server):
        """uvicorn's server, without its signal handlers: `ending` has its own."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            self.tidying = asyncio.create_task(tidy())
            opening.start()
            announce(listener, password is not None)

        async def shutdown(self, sockets: Any = None) -> None:
            self.tidying.cancel()
            pool.close()
            await super().shutdown(sockets)

    async def tidy() -> None:
        while True:
            await asyncio.sleep(SECONDS_TO_TIDY)
            try:
                await waiting.tidy()
                quotas.forget()
                await asyncio.to_thread(quotas.tidy)
            except Exception:  # the next one may succeed
                logging.getLogger('mmcm').exception('The server could not tidy up.')

    def stop() -> None:
        pool.closing.set()
        server.should_exit = True

    # Its parser logs each unreadable part of an upload, which the answer to the visitor reports anyway.
    logging.getLogger('python_multipart').setLevel(logging.CRITICAL)
    opening = Opening(pool)
    page = build_app(pool, limits, opening)
    app = gradio.mount_gradio_app(
        FastAPI(openapi_url=None),
        page,
        '/',
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=limits.upload_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        **page_options(limits),
    )
    quotas, waiting = Quotas(limits, get_upload_folder()), Waiting(page, limits)
    inputs = {number: len(event.inputs) for number, event in page.fns.items() if event.fn is not None}
    filtered = RequestFilter(app, limits, quotas, FilePaths(get_upload_folder()), origins, password, waiting, inputs)
    server = Server(
        uvicorn.Config(
            filtered,
            log_level='critical',
            http=limited_protocol(limits),
            ws='none',
            server_header=False,
            proxy_headers=bool(origins.allowed),
            timeout_graceful_shutdown=SECONDS_TO_CLOSE,
        )
    )
    ending.stop = stop
    try:
        server.run(sockets=[listener])
    finally:
        pool.close()
        pool.worker.shutdown(wait=True)


def announce(listener: socket.socket, asks: bool = False) -> None:
    """Print the address of the page and who can use it; `asks` says whether there is a password."""
    host, port, *_ = listener.getsockname()
    address = ip_address(host)
    shown = {'0.0.0.0': '127.0.0.1', '::': '[::1]'}.get(host, f'[{host}]' if address.version == 6 else host)
    print(f'The web demo is at http://{shown}:{port}/ (Ctrl-C ends it)', flush=True)
    if not address.is_loopback:
        whom = 'who knows the password' if asks else 'who reaches this machine over the network'
        print(f'Anyone {whom} can use it.', flush=True)
