"""`WholeBatches`: a batch has the same items, however many processes there are."""

from collections.abc import Iterator

from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from mmcm.registry import DATA_SAMPLERS
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError


@DATA_SAMPLERS.register_module()
class WholeBatches(Sampler):
    """Cut a data set, in its order, into batches, and deal these out: batch k goes to process k modulo their number.

    MMEngine's own sampler deals out single items, so that what lies beside an item in a batch, and with it the rounding
    of a network, depends on the number of processes. Here it does not. Nothing is padded: each item comes once, the
    last batch is smaller where the sizes do not divide, and processes may have unequal numbers of batches, some none.
    Metrics that are to be computed over several processes must collect such unequal shares, as those of
    `mmcm.evaluation` do; those that collect by MMEngine's `collect_results` would lose items.

    In a config, `batch_sampler=dict(type='WholeBatches')` of a loader whose `sampler` does not shuffle.

    Args:
        sampler (Sampler): It names the data set, as its attribute `dataset`; its order is not used.
        batch_size (int): Items per batch, 1 or more.

    Raises:
        InputError: If the batch size is none, or the sampler shuffles.
    """

    def __init__(self, sampler: Sampler, batch_size: int) -> None:
        check_count('batch_size', batch_size)
        if getattr(sampler, 'shuffle', False):
            raise InputError(
                'WholeBatches keeps the order of the data set, and its sampler shuffles: set '
                "sampler=dict(type='DefaultSampler', shuffle=False)."
            )
        self.num_items = len(sampler.dataset)
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
