"""How long tests wait for other processes: long enough for a busy machine, since no test measures time."""

import time

PATIENCE = 900  # seconds; what takes longer hangs


def wait_until(condition, what, interval=0.01):
    """Return what `condition()` returns as soon as it is true; fail with `what` if it never is."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f'{what} did not happen within {PATIENCE} s'
        time.sleep(interval)
    return found
