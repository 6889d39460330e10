"""Noise: its levels on a schedule, their distribution in training, and the generators it is drawn from."""
from mmcm.noise.generators import DeterministicNoise, PerSampleNoise, SampleNoise, SharedNoise
from mmcm.noise.level_distributions import LognormalIndices, LognormalLevels, UniformIndices
from mmcm.noise.schedules import RHO, SIGMA_MAX, SIGMA_MIN, check_range, karras_sigma, karras_sigmas

__all__ = [
    'RHO', 'SIGMA_MAX', 'SIGMA_MIN', 'DeterministicNoise', 'LognormalIndices', 'LognormalLevels', 'PerSampleNoise',
    'SampleNoise', 'SharedNoise', 'UniformIndices', 'check_range', 'karras_sigma', 'karras_sigmas'
]
