"""Batch sampler whose batches have the same items for any number of processes."""

from collections.abc import Iterator

from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from mmcm.registry import DATA_SAMPLERS
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError


@DATA_SAMPLERS.register_module()
class WholeBatches(Sampler):
    """Cut a data set, in its order, into batches, and distribute these: batch k goes to process k modulo their number.

    MMEngine's own sampler distributes single items, so the neighbours of an item in its batch, and with them the
    rounding of a network, depend on the number of processes. Here they do not. Nothing is padded: each item comes once,
    the last batch may be smaller, and processes may have unequal numbers of batches, even none. Metrics over several
    processes must collect unequal shares, as those of `mmcm.evaluation` do; MMEngine's `collect_results` would lose
    items.

    In a config, `batch_sampler=dict(type='WholeBatches')` of a loader whose `sampler` does not shuffle.

    Args:
        sampler (Sampler): Has the data set as its attribute `dataset`; its order is ignored.
        batch_size (int): Items per batch, 1 or more.

    Raises:
        InputError: If the batch size is no positive integer, or the sampler shuffles.
    """

    def __init__(self, sampler: Sampler, batch_size: int) -> None:
        check_count('batch_size', batch_size)
        if getattr(sampler, 'shuffle', False):
            raise InputError(
                'WholeBatches keeps the order of the data set, and its sampler shuffles: set '
                "sampler=dict(type='DefaultSampler', shuffle=False)."
            )
        self.num_items = len(sampler.dataset)  # type: ignore[attr-defined]  # MMEngine's samplers have it
        self.batch_size = batch_size
        self.rank, self.world_size = get_dist_info()

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the batches of this process, each a list of indices."""
        for start in self._starts():
            yield list(range(start, min(start + self.batch_size, self.num_items)))

    def __len__(self) -> int:
        """Return the number of batches of this process."""
        return len(self._starts())

    def _starts(self) -> range:
        return range(self.rank * self.batch_size, self.num_items, self.world_size * self.batch_size)
