"""Loops of the runner."""

from mmcm.engine.loops.loop_ends import check_loops
from mmcm.engine.loops.micro_batch_train_loop import MicroBatchTrainLoop
from mmcm.engine.loops.sample_val_loop import SampleValLoop

__all__ = ['MicroBatchTrainLoop', 'SampleValLoop', 'check_loops']
