"""Batches: many samples, cut so that they fit the memory."""

from collections.abc import Callable, Iterator
from typing import TypeVar, Union

import torch

from mmcm.utils.errors import InputError

Result = TypeVar('Result')


class Batches:
    """Number of samples that go through a network at once. On a GPU, a size that does not fit is halved, for good.

    Args:
        size (int): Samples per batch, at most; 1 or more.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    @classmethod
    def of(cls, size: Union[int, 'Batches']) -> 'Batches':
        """Return `size` itself if it is a `Batches`, so that several loops share it."""
        return size if isinstance(size, Batches) else cls(size)

    def run(self, function: Callable[[slice], Result], total: int) -> Iterator[Result]:
        """Yield the result of `function` for each batch, called with the slice of its samples among `total`.

        Raises:
            InputError: If not even one sample fits the memory of the GPU.
        """
        start = 0
        while start < total:
            part = slice(start, min(start + self.size, total))
            try:
                result, fits = function(part), True
            except torch.cuda.OutOfMemoryError:
                fits = False
            if not fits:  # here, since the error holds on to the memory until its block is left
                torch.cuda.empty_cache()
                if part.stop - start == 1:
                    raise InputError(
                        'not even one image fits the free memory of the GPU: end what else is using it, compute in '
                        'half precision (dtype float16) where that can be chosen, or on the CPU (device cpu).'
                    )
                self.size = (part.stop - start) // 2
                continue
            yield result
            del result  # or it would stay while the next one is made
            start = part.stop
