"""Data structures that data sets, models and metrics exchange beside the images."""

from mmcm.structures.data_sample import DataSample, as_labels, labels_of

__all__ = ['DataSample', 'as_labels', 'labels_of']
