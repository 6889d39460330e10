"""Number of weights in tensors from a file, in which a small storage may have many names."""

from collections.abc import Iterable
from typing import Any

import torch


def count_weights(values: Iterable[Any]) -> int:
    """Return how many weights the tensors among `values` have, at most those that their storages have room for."""
    count = 0
    storages: dict[int, tuple[int, list[tuple[int, int]]]] = {}
    for value in values:
        if not isinstance(value, torch.Tensor):
            continue
        if value.layout is not torch.strided:  # only where the user has let such tensors through
            count += value.numel()
            continue
        storage = value.untyped_storage()
        views = storages.setdefault(storage.data_ptr(), (storage.nbytes(), []))[1]
        views.append((value.numel(), value.element_size()))
    for size, views in storages.values():
        count += min(sum(numel for numel, _ in views), size // min(item for _, item in views))
    return count
