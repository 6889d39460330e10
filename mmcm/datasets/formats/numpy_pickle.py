"""Reader of pickled NumPy arrays of bytes that runs nothing from the file.

A pickle is a program that may call anything it can import. Here it imports nothing: the three names in NumPy's pickles
of arrays map to classes of this module that only record their arguments, and the name by which Python 3 writes bytes
for Python 2 maps to one that makes bytes. Any other name is refused.
"""

import io
import pickle
from typing import Any

import numpy as np

from mmcm.utils.errors import InputError
from mmcm.utils.pickle_check import ForeignName, check_pickle


def read_numpy_pickle(content: bytes, source: Any) -> Any:
    """Return the pickled object: plain values and containers, and arrays as `PickledArray`.

    Strings of Python 2 are returned as bytes.

    Args:
        content (bytes): The pickle; with arrays, of any protocol below 5.
        source (Any): Its path, for messages.

    Raises:
        InputError: If it names any function or class other than those of arrays and bytes, or is damaged.
    """
    try:
        check_pickle(io.BytesIO(content), dict.fromkeys(NAMES), lambda name: False, dict.fromkeys(NAMES))
        return _Unpickler(io.BytesIO(content), encoding='bytes').load()
    except (_ForeignName, ForeignName) as error:
        raise InputError(
            f'{source} contains more than arrays ({error}): refused, nothing in it was run. Download it '
            'again, from its official page.'
        ) from error
    # A damaged pickle is a damaged program, which may fail in any of these ways.
    except (
        pickle.UnpicklingError,
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        MemoryError,
        TypeError,
        ValueError,
    ) as error:
        raise InputError(
            f'{source} is no whole pickle ({len(content)} bytes): it is truncated, or of another kind. '
            'Download it again.'
        ) from error


class PickledArray:
    """An array of uint8 in a pickle.

    Attributes:
        array (ndarray, optional): The array, once its state is set.
    """

    array: np.ndarray | None = None

    def __init__(self, *_: Any) -> None:
        pass  # NumPy makes an empty array first, then sets its state

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, by_columns, content = state
        if not isinstance(dtype, _Uint8):
            raise pickle.UnpicklingError('no array of bytes')
        self.array = np.frombuffer(content, np.uint8).reshape(shape, order='F' if by_columns else 'C')


class _Uint8:
    """The only permitted dtype."""

    def __init__(self, name: Any, *_: Any) -> None:
        if name not in (b'u1', 'u1'):
            raise pickle.UnpicklingError(f'dtype {name!r}')

    def __setstate__(self, state: tuple) -> None:
        pass  # byte order and fields, which bytes do not have


class _Bytes:
    """Bytes as Python 3 writes them in protocols below 3: a call of `codecs.encode` with a text and 'latin1'."""

    def __new__(cls, text: Any, encoding: Any) -> Any:
        if not isinstance(text, str) or encoding != 'latin1':
            raise _ForeignName(f'_codecs.encode to {encoding!r}')
        return text.encode('latin1')

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError('bytes have no state')  # otherwise, a pickle could set attributes of the class


class _ForeignName(pickle.UnpicklingError):
    pass


NAMES = {
    'numpy.ndarray': PickledArray,
    'numpy.dtype': _Uint8,
    'numpy.core.multiarray._reconstruct': PickledArray,  # as NumPy 1 writes it
    'numpy._core.multiarray._reconstruct': PickledArray,  # as NumPy 2 does
    '_codecs.encode': _Bytes,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        if f'{module}.{name}' not in NAMES:
            raise _ForeignName(f'{module}.{name}')
        return NAMES[f'{module}.{name}']
