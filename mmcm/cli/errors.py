"""How commands end when their input cannot be used."""
import re
import sys
from functools import wraps
from typing import Callable

from mmcm.utils.errors import InputError


def command(main: Callable[..., None]) -> Callable[..., None]:
    """Let `main` end with one line on stderr and exit code 2 where it raises an InputError."""

    @wraps(main)
    def run(*args, **kwargs):
        try:
            main(*args, **kwargs)
        except InputError as error:
            # MMEngine puts the class that it was building in front, which says nothing to a user.
            message = re.sub(r'^(class `\w+` in \S+\.py: )+', '', ' '.join(str(error).split()))
            print(f'error: {message}', file=sys.stderr)
            sys.exit(2)

    return run
