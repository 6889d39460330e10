"""The server of the web demo: a socket, a temporary folder of its own, and an end that leaves nothing behind."""

import asyncio
import logging
import os
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Any

from mmcm.utils.errors import InputError
from mmcm.web.ending import Ending
from mmcm.web.limits import Limits

SECONDS_TO_CLOSE = 2  # for connections that are open
SECONDS_TO_TIDY = 1  # between looks at what can be forgotten


def serve(
    models: Sequence[str] = (),
    host: str = '127.0.0.1',
    port: int = 7860,
    device: str | None = None,
    dtype: str = 'float32',
    limits: Limits | None = None,
    checkpoint: str | None = None,
    allowed_hosts: Sequence[str] = (),
    secret: str | None = None,
) -> None:
    """Serve the web demo until the process is interrupted or told to end.

    Where a step that is computed would take longer than a few seconds, the process ends with exit code 0 in place of a
    return; at a second signal it ends at once, with 128 and the number of the signal.

    Args:
        models (Sequence[str]): See `mmcm.web.model_pool.Shelf`.
        host (str): Address to listen at; only 127.0.0.1 and ::1 are for this machine alone.
        port (int): Port to listen at; 0 takes any that is free.
        device, dtype: See `ConsistencyModelInferencer`.
        limits (Limits, optional): What a visitor may ask for.
        checkpoint (str, optional): Weights for the one model that `models` names.
        allowed_hosts (Sequence[str]): Further names of the server; see `mmcm.web.origins.Origins`. With any, a proxy on
            this machine is believed whom it speaks for.
        secret (str, optional): USER:PASSWORD that visitors have to know.

    Raises:
        InputError: If Gradio is not installed, a model cannot be had, or the address cannot be listened at.
    """
    limits = limits or Limits()
    if find_spec('gradio') is None:
        raise InputError(
            'the web demo needs Gradio, which is not installed: pip install -e ".[web]" (Python 3.10 or newer)'
        )
    ending = Ending()
    with listening(host, port) as listener, ending.on_signals(), temporary_folder() as folder:
        ending.folder = folder
        from mmcm.web.model_pool import Shelf  # loads torch
        from mmcm.web.origins import Origins
        from mmcm.web.password import Password

        origins = Origins(host, allowed_hosts)
        shelf = Shelf(models, device, dtype, checkpoint)
        shelf.check()
        run(listener, shelf, limits, origins, Password(secret) if secret else None, ending)


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket bound to `host` and `port`; an InputError if it cannot be."""
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
    """Yield a folder, in which all lies that Gradio and others write meanwhile, and which goes when the block ends."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix='mmcm-web-', ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = folder
        try:
            # YAPF, which MMEngine imports, and Matplotlib, which Gradio does, keep caches in the home folder. YAPF's
            # variable is read by others, too, whose caches are to stay where they are: it is for that import alone.
            with environment(XDG_CACHE_HOME=folder):
                import mmengine.config  # noqa: F401
            with environment(GRADIO_ANALYTICS_ENABLED='False', GRADIO_TEMP_DIR=folder, MPLCONFIGDIR=folder):
                yield folder
        finally:
            tempfile.tempdir = before


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Have environment variables while the block runs."""
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


def run(listener: socket.socket, shelf: Any, limits: Limits, origins: Any, password: Any, ending: Ending) -> None:
    """Serve `shelf` at `listener` until a signal ends it."""
    import gradio
    import uvicorn
    from fastapi import FastAPI
    from gradio.utils import get_upload_folder

    from mmcm.web.app import build_app, page_options
    from mmcm.web.connections import limited_protocol
    from mmcm.web.file_paths import FilePaths
    from mmcm.web.opening import Opening
    from mmcm.web.quotas import Quotas
    from mmcm.web.request_filter import Guard
    from mmcm.web.waiting import Waiting

    class Server(uvicorn.Server):
        """uvicorn's server, whose signals `ending` takes."""

        def capture_signals(self) -> AbstractContextManager:
            return nullcontext()

        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            self.tidying = asyncio.create_task(tidy())
            opening.start()
            announce(listener, password is not None)

        async def shutdown(self, sockets: Any = None) -> None:
            self.tidying.cancel()
            shelf.close()
            await super().shutdown(sockets)

    async def tidy() -> None:
        while True:
            await asyncio.sleep(SECONDS_TO_TIDY)
            try:
                await waiting.tidy()
                quotas.forget()
                await asyncio.to_thread(quotas.tidy)
            except Exception:  # the next look may find all well
                logging.getLogger('mmcm').exception('The server could not tidy up.')

    def stop() -> None:
        shelf.closing.set()
        server.should_exit = True

    # Its parser writes a line for everything in an upload that it cannot read, which the visitor is told.
    logging.getLogger('python_multipart').setLevel(logging.CRITICAL)
    opening = Opening(shelf)
    page = build_app(shelf, limits, opening)
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
    guard = Guard(app, limits, quotas, FilePaths(get_upload_folder()), origins, password, waiting, inputs)
    server = Server(
        uvicorn.Config(
            guard,
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
        shelf.close()
        shelf.worker.shutdown(wait=True)


def announce(listener: socket.socket, asks: bool = False) -> None:
    """Print where the page is, and whom it is for: those who know the password, if it `asks` for one."""
    host, port, *_ = listener.getsockname()
    address = ip_address(host)
    shown = {'0.0.0.0': '127.0.0.1', '::': '[::1]'}.get(host, f'[{host}]' if address.version == 6 else host)
    print(f'The web demo is at http://{shown}:{port}/ (Ctrl-C ends it)', flush=True)
    if not address.is_loopback:
        whom = 'who knows the password' if asks else 'who reaches this machine over the network'
        print(f'Anyone {whom} can use it.', flush=True)
