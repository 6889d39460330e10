"""Named pipes that do not keep a test waiting, whatever reads them."""

import os
import threading
from contextlib import contextmanager, suppress


@contextmanager
def written_pipe(path, content):
    """Make a pipe at `path` that gives `content` to who opens it and waits, and then ends."""
    path.unlink(missing_ok=True)
    os.mkfifo(path)

    def write():
        with suppress(OSError), open(path, 'wb') as file:  # the reader may have gone
            file.write(content)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        yield
    finally:
        while writer.is_alive():  # it waits for somebody to open the pipe
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
            writer.join(0.01)
