"""How commands end when their input cannot be used."""
import re
import sys
from functools import wraps
from typing import Callable

from mmcm.utils.errors import InputError

LONGEST = 4000  # characters of a message
TYPE = InputError.__name__


def command(main: Callable[..., None]) -> Callable[..., None]:
    """Let `main` end with one line on stderr and exit code 2 where it raises an InputError."""

    @wraps(main)
    def run(*args, **kwargs):
        try:
            main(*args, **kwargs)
        except InputError as error:
            # A worker process that reads data puts its traceback in front; MMEngine the class that it was building.
            message = re.sub(rf'^Caught {TYPE} in .*\n[\w.]*{TYPE}: ', '', str(error), flags=re.DOTALL)
            message = re.sub(r'^(class `\w+` in \S+\.py: )+', '', ' '.join(message.split()))
            if len(message) > LONGEST:  # a file may have any text in place of a name
                message = f'{message[:LONGEST // 2]} ... {message[-LONGEST // 2:]}'
            print(f'error: {message}', file=sys.stderr)
            sys.exit(2)

    return run
