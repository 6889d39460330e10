"""Communication of Python objects between the processes of a run."""

from collections.abc import Iterator
from typing import Any

from mmengine.dist import broadcast_object_list, get_rank, get_world_size


def from_each_process(part: Any) -> Iterator[Any]:
    """Yield the `part` of each process, in the order of their ranks.

    One part is sent at a time, since together they might not fit the memory. All processes have to consume all parts.
    """
    for rank in range(get_world_size()):
        box = [part if rank == get_rank() else None]
        broadcast_object_list(box, src=rank)
        yield box[0]


def from_main_process(value: Any) -> Any:
    """Return the `value` of the main process."""
    box = [value]
    broadcast_object_list(box)
    return box[0]
