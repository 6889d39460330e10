"""The server of the web demo: a socket, a temporary folder of its own, and an end that leaves nothing behind."""
import os
import signal
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from ipaddress import ip_address
from types import FrameType
from typing import Any, Optional

from mmcm.utils.errors import InputError
from mmcm.web.limits import Limits

SECONDS_TO_END = 2  # for connections that are open


def serve(models: Sequence[str] = (),
          host: str = '127.0.0.1',
          port: int = 7860,
          device: Optional[str] = None,
          dtype: str = 'float32',
          limits: Optional[Limits] = None) -> None:
    """Serve the web demo until the process is interrupted or told to end.

    Args:
        models (Sequence[str]): See `mmcm.web.shelf.Shelf`.
        host (str): Address to listen at; only 127.0.0.1 and ::1 are for this machine alone.
        port (int): Port to listen at; 0 takes any that is free.
        device, dtype: See `ConsistencyModelInferencer`.
        limits (Limits, optional): What a visitor may ask for.

    Raises:
        InputError: If Gradio is not installed, a model cannot be had, or the address cannot be listened at.
    """
    limits = limits or Limits()
    if find_spec('gradio') is None:
        raise InputError('the web demo needs Gradio, which is not installed: pip install -e ".[web]" (Python 3.10 or '
                         'newer)')
    with listening(host, port) as listener, ending_cleanly(), temporary_folder():
        from mmcm.web.shelf import Shelf  # loads torch
        shelf = Shelf(models, device, dtype)
        shelf.check()
        run(listener, shelf, limits)


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket bound to `host` and `port`; an InputError if it cannot be."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise InputError(f'--host {host} is no address of this machine: {getattr(error, "strerror", error)}. '
                         '127.0.0.1 is for this machine alone, 0.0.0.0 for all that reach it.') from error
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen()
        except OSError as error:
            raise InputError(f'cannot listen at {host}, port {port}: {error.strerror}. Choose another --port (0 takes '
                             'any that is free), or another --host.') from error
        yield listener


@contextmanager
def ending_cleanly() -> Iterator[None]:
    """Have an interrupt, and a signal to end, end the block."""
    def interrupt(number: int, frame: Optional[FrameType]) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def temporary_folder() -> Iterator[None]:
    """Have all that is written meanwhile, by Gradio and others, lie in a folder that goes when the block ends."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix='mmcm-web-', ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = folder
        try:
            # YAPF, which MMEngine imports, and Matplotlib, which Gradio does, keep caches in the home folder. YAPF's
            # variable is read by others, too, whose caches are to stay where they are: it is for that import alone.
            with environment(XDG_CACHE_HOME=folder):
                import mmengine.config  # noqa: F401
            with environment(GRADIO_ANALYTICS_ENABLED='False', GRADIO_TEMP_DIR=folder, MPLCONFIGDIR=folder):
                yield
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


def run(listener: socket.socket, shelf: Any, limits: Limits) -> None:
    """Serve `shelf` at `listener` until the process is told to end."""
    import gradio
    import uvicorn
    from fastapi import FastAPI
    from gradio.utils import get_upload_folder

    from mmcm.web.app import build_app, page_options
    from mmcm.web.guard import Guard

    class Server(uvicorn.Server):

        def handle_exit(self, sig: int, frame: Optional[FrameType]) -> None:
            shelf.closing.set()
            super().handle_exit(sig, frame)

        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            announce(listener)

    app = gradio.mount_gradio_app(
        FastAPI(openapi_url=None), build_app(shelf, limits), '/', footer_links=[], run_history=False, show_error=False,
        max_file_size=limits.upload_bytes, ssr_mode=False, enable_monitoring=False, pwa=False, mcp_server=False,
        **page_options(limits))
    config = uvicorn.Config(
        Guard(app, limits, get_upload_folder()), log_level='critical', limit_concurrency=limits.connections,
        timeout_graceful_shutdown=SECONDS_TO_END)
    try:
        Server(config).run(sockets=[listener])
    finally:
        shelf.closing.set()
        shelf.worker.shutdown(wait=True, cancel_futures=True)


def announce(listener: socket.socket) -> None:
    """Print where the page is, and whom it is for."""
    host, port, *_ = listener.getsockname()
    address = ip_address(host)
    shown = {'0.0.0.0': '127.0.0.1', '::': '[::1]'}.get(host, f'[{host}]' if address.version == 6 else host)
    print(f'The web demo is at http://{shown}:{port}/ (Ctrl-C ends it)', flush=True)
    if not address.is_loopback:
        print('Anyone who reaches this machine over the network can use it.', flush=True)
