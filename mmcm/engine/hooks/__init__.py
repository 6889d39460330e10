"""Hooks."""

from mmcm.engine.hooks.averages_hook import AveragesHook
from mmcm.engine.hooks.compile_hook import CompileHook
from mmcm.engine.hooks.cost_probe_hook import CostProbeHook
from mmcm.engine.hooks.data_check_hook import DataCheckHook
from mmcm.engine.hooks.interrupt_hook import InterruptHook
from mmcm.engine.hooks.loop_end_hook import LoopEndHook
from mmcm.engine.hooks.loss_by_sigma_hook import LossBySigmaHook
from mmcm.engine.hooks.non_finite_guard_hook import NonFiniteGuardHook
from mmcm.engine.hooks.num_threads_hook import NumThreadsHook
from mmcm.engine.hooks.plain_log_hook import PlainLogHook
from mmcm.engine.hooks.remaining_time_hook import RemainingTimeHook
from mmcm.engine.hooks.resume_data_hook import ResumeDataHook
from mmcm.engine.hooks.sample_grid_hook import SampleGridHook
from mmcm.engine.hooks.step_seed_hook import StepSeedHook
from mmcm.engine.hooks.trajectory_hook import TrajectoryHook
from mmcm.engine.hooks.validation_hook import ValidationHook
from mmcm.engine.hooks.whole_checkpoint_hook import WholeCheckpointHook

__all__ = [
    'AveragesHook',
    'CompileHook',
    'CostProbeHook',
    'DataCheckHook',
    'InterruptHook',
    'LoopEndHook',
    'LossBySigmaHook',
    'NonFiniteGuardHook',
    'NumThreadsHook',
    'PlainLogHook',
    'RemainingTimeHook',
    'ResumeDataHook',
    'SampleGridHook',
    'StepSeedHook',
    'TrajectoryHook',
    'ValidationHook',
    'WholeCheckpointHook',
]
