"""Loops of the runner."""

from mmcm.engine.loops.loop_ends import check_loops
from mmcm.engine.loops.micro_batch_train_loop import MicroBatchTrainLoop

__all__ = ['MicroBatchTrainLoop', 'check_loops']
