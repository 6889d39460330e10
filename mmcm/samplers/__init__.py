"""Samplers: from noise to images, given a denoiser."""

from mmcm.samplers.base import Callback, Denoise, RandnLike, Sampler
from mmcm.samplers.dpm2 import DPM2Sampler
from mmcm.samplers.euler import EulerSampler
from mmcm.samplers.euler_ancestral import EulerAncestralSampler
from mmcm.samplers.flow_map import FlowMapSampler
from mmcm.samplers.heun import HeunSampler
from mmcm.samplers.multistep import MultistepSampler
from mmcm.samplers.progressive_distillation import ProgressiveDistillationSampler

__all__ = [
    'Callback',
    'DPM2Sampler',
    'Denoise',
    'EulerAncestralSampler',
    'EulerSampler',
    'FlowMapSampler',
    'HeunSampler',
    'MultistepSampler',
    'ProgressiveDistillationSampler',
    'RandnLike',
    'Sampler',
]
