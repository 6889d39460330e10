"""Denoisers D(x, sigma): a network with preconditioning."""

from mmcm.denoisers.base import Denoiser
from mmcm.denoisers.checkpoint import load_denoiser
from mmcm.denoisers.flow_map import FlowMapDenoiser, GuidanceInputs, is_flow_map, without_velocity_head
from mmcm.denoisers.karras import KarrasDenoiser
from mmcm.denoisers.trigflow import TrigFlowDenoiser
from mmcm.denoisers.truncated import TruncatedDenoiser

__all__ = [
    'Denoiser',
    'FlowMapDenoiser',
    'GuidanceInputs',
    'KarrasDenoiser',
    'TrigFlowDenoiser',
    'TruncatedDenoiser',
    'is_flow_map',
    'load_denoiser',
    'without_velocity_head',
]
