"""What travels between data sets, models and metrics beside the images."""
from mmcm.structures.data_sample import DataSample, labels_of

__all__ = ['DataSample', 'labels_of']
