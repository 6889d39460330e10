"""Hooks."""
from mmcm.engine.hooks.averages_hook import AveragesHook
from mmcm.engine.hooks.plain_log_hook import PlainLogHook
from mmcm.engine.hooks.sample_grid_hook import SampleGridHook
from mmcm.engine.hooks.step_seed_hook import StepSeedHook

__all__ = ['AveragesHook', 'PlainLogHook', 'SampleGridHook', 'StepSeedHook']
