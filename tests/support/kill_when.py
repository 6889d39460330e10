"""Run a script, and kill the process when something has happened, as suddenly as a kill from outside would.

    python tests/support/kill_when.py CONDITION SCRIPT ARGUMENT ...

CONDITION is an expression of Python, in which `Path` is pathlib's and `json` is json; it is asked at each file that the
process opens or renames. So no other process has to look in time, however busy the machine is.
"""

import json
import os
import runpy
import signal
import sys
from pathlib import Path


def kill_when(condition):
    """Kill this process, and none that it forks, at the first file event at which `condition()` is true."""
    process, asking = os.getpid(), []

    def look(event, arguments):
        if event in ('open', 'os.rename') and not asking and os.getpid() == process:
            asking.append(event)  # the condition opens files, too
            if condition():
                os.kill(process, signal.SIGKILL)
            asking.clear()

    sys.addaudithook(look)


if __name__ == '__main__':
    expression, *sys.argv = sys.argv[1:]
    condition = compile(expression, '<condition>', 'eval')
    kill_when(lambda: eval(condition, dict(Path=Path, json=json)))
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name='__main__')
