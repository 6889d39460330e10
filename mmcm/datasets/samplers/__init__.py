"""Data samplers: the order in which a run reads the items of a data set."""

from mmcm.datasets.samplers.resumable_sampler import ResumableSampler
from mmcm.datasets.samplers.whole_batches import WholeBatches

__all__ = ['ResumableSampler', 'WholeBatches']
