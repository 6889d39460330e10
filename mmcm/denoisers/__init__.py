"""Denoisers D(x, sigma): preconditioning around a network."""
from mmcm.denoisers.karras import KarrasDenoiser

__all__ = ['KarrasDenoiser']
