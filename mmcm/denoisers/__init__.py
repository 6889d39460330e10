"""Denoisers D(x, sigma): a network with preconditioning."""

from mmcm.denoisers.base import Denoiser
from mmcm.denoisers.checkpoint import load_denoiser
from mmcm.denoisers.flow_map import FlowMapDenoiser, GuidanceInputs
from mmcm.denoisers.karras import KarrasDenoiser
from mmcm.denoisers.trigflow import TrigFlowDenoiser

__all__ = ['Denoiser', 'FlowMapDenoiser', 'GuidanceInputs', 'KarrasDenoiser', 'TrigFlowDenoiser', 'load_denoiser']
