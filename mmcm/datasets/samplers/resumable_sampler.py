"""Order of the images in an endless training run, from any position on."""

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

    For a late start, the permutations of earlier epochs are generated and dropped; no image is read. `ResumeDataHook`
    sets the start. Arguments: see `InfiniteSampler`.

    Attributes:
        start (int): Number of images of this process that an iterator skips.
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
