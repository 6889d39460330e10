"""Samplers of data: the order in which a run sees the items of a data set."""

from mmcm.datasets.samplers.resumable_sampler import ResumableSampler
from mmcm.datasets.samplers.whole_batches import WholeBatches

__all__ = ['ResumableSampler', 'WholeBatches']
