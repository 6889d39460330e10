"""Data sets of training images, and of requests for samples."""

from mmcm.datasets.cifar import CIFAR10, CIFAR100
from mmcm.datasets.collate import stack_samples
from mmcm.datasets.digits import DigitsDataset
from mmcm.datasets.image_folder import ImageFolder
from mmcm.datasets.image_pack import ImagePack
from mmcm.datasets.image_split import ImageSplit
from mmcm.datasets.imagenet9 import ImageNet9
from mmcm.datasets.imagenet64 import ImageNet64
from mmcm.datasets.lsun import LSUN
from mmcm.datasets.mnist import MNIST
from mmcm.datasets.photo_patches import PhotoPatches
from mmcm.datasets.sampling_requests import SamplingRequests

__all__ = [
    'CIFAR10',
    'CIFAR100',
    'LSUN',
    'MNIST',
    'DigitsDataset',
    'ImageFolder',
    'ImageNet9',
    'ImageNet64',
    'ImagePack',
    'ImageSplit',
    'PhotoPatches',
    'SamplingRequests',
    'stack_samples',
]
