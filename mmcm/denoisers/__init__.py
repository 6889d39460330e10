"""Denoisers D(x, sigma): preconditioning around a network."""

from mmcm.denoisers.checkpoint import load_denoiser
from mmcm.denoisers.karras import KarrasDenoiser
from mmcm.denoisers.trigflow import TrigFlowDenoiser

__all__ = ['KarrasDenoiser', 'TrigFlowDenoiser', 'load_denoiser']
