"""The order of the images of an endless training run, from any place in it."""

from collections.abc import Iterator
from itertools import islice

import torch
from mmengine.dataset import InfiniteSampler
from torch import Tensor

from mmcm.registry import DATA_SAMPLERS
from mmcm.utils.mmengine_compat import SamplesFromStart


@DATA_SAMPLERS.register_module()
class ResumableSampler(SamplesFromStart, InfiniteSampler):
    """MMEngine's InfiniteSampler, which can begin anywhere: same order for same seed, process and number of processes.

    To begin late, the permutations of the epochs before are drawn and dropped; no image is read. `ResumeDataHook` sets
    where to begin. Arguments: see `InfiniteSampler`.

    Attributes:
        start (int): How many of the images of this process an iterator leaves out.
    """

    start = 0

    def __iter__(self) -> Iterator[int]:
        """Iterate over the indices of this process, without end."""
        return self.indices_from(self.start)

    def indices_from(self, position: int) -> Iterator[int]:
        """Iterate over the indices of this process, without end, from its image `position` on, counted from 0."""
        epoch, place = divmod(self.rank + position * self.world_size, self.size)
        for order in islice(self._orders(), epoch, None):
            mine = order[place :: self.world_size]
            yield from mine.tolist()
            place += len(mine) * self.world_size - self.size

    def _orders(self) -> Iterator[Tensor]:
        """Iterate over the orders of the epochs, each (size,), of all processes together."""
        generator = torch.Generator('cpu').manual_seed(self.seed)
        while True:
            if self.shuffle:
                yield torch.randperm(self.size, generator=generator, device='cpu')
            else:
                yield torch.arange(self.size, device='cpu')
