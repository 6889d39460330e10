"""Models: what MMEngine's runner trains and tests."""

from mmcm.models.consistency_model import ConsistencyModel
from mmcm.models.image_preprocessor import ImagePreprocessor

__all__ = ['ConsistencyModel', 'ImagePreprocessor']
