"""Denoisers D(x, sigma): preconditioning around a network."""
from mmcm.denoisers.karras import KarrasDenoiser
from mmcm.denoisers.trigflow import TrigFlowDenoiser

__all__ = ['KarrasDenoiser', 'TrigFlowDenoiser']
