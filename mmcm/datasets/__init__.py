"""Data sets: what is learned, and what is asked for."""
from mmcm.datasets.collate import stack_samples
from mmcm.datasets.digits import DigitsDataset
from mmcm.datasets.image_folder import ImageFolder
from mmcm.datasets.sampling_requests import SamplingRequests

__all__ = ['DigitsDataset', 'ImageFolder', 'SamplingRequests', 'stack_samples']
