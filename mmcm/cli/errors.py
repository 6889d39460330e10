"""How commands end when their input cannot be used."""
import re
import sys
from functools import wraps
from typing import Callable

from mmcm.utils.errors import InputError

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
            print(f'error: {message}', file=sys.stderr)
            sys.exit(2)

    return run
