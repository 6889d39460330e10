"""Building networks without weights, whose values come from a file later."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

RANDOM = frozenset((Tensor.normal_, Tensor.uniform_))


class WithoutInitialisation(TorchFunctionMode):
    """Mode in which functions of `torch.nn.init` leave tensors on the meta device alone.

    There is nothing to fill, and `normal_` computes even the shape by a decomposition, for which torch imports its
    compiler: a network with an `nn.Embedding` takes two seconds more.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the tensor that `func` would fill, or what any other function returns."""
        kwargs = kwargs or {}
        if func in RANDOM or getattr(func, '__module__', None) == 'torch.nn.init':
            tensor = args[0] if args else kwargs.get('tensor')
            if isinstance(tensor, Tensor) and tensor.is_meta:
                return tensor
        return func(*args, **kwargs)


@contextmanager
def without_weights() -> Iterator[None]:
    """Put networks that are built in the block on torch's meta device: they have shapes and no values."""
    with torch.device('meta'), WithoutInitialisation():
        yield
