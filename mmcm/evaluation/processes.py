"""What one process knows, told to the others."""

from collections.abc import Iterator
from typing import Any

from mmengine.dist import broadcast_object_list, get_rank, get_world_size


def from_each_process(part: Any) -> Iterator[Any]:
    """Yield what each process has given as its `part`, in the order of their ranks.

    One part is on its way at a time, since together they might not fit the memory. All processes have to take all of
    them.
    """
    for rank in range(get_world_size()):
        box = [part if rank == get_rank() else None]
        broadcast_object_list(box, src=rank)
        yield box[0]


def from_main_process(value: Any) -> Any:
    """Return the `value` that the main process has given."""
    box = [value]
    broadcast_object_list(box)
    return box[0]
