"""Data sets: what is learned, and what is asked for."""
from mmcm.datasets.cifar10 import CIFAR10
from mmcm.datasets.collate import stack_samples
from mmcm.datasets.digits import DigitsDataset
from mmcm.datasets.image_folder import ImageFolder
from mmcm.datasets.imagenet9 import ImageNet9
from mmcm.datasets.mnist import MNIST
from mmcm.datasets.sampling_requests import SamplingRequests

__all__ = ['CIFAR10', 'MNIST', 'DigitsDataset', 'ImageFolder', 'ImageNet9', 'SamplingRequests', 'stack_samples']
