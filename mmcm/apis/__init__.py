"""What programs and people call: pictures from a model, in a few lines."""
from mmcm.apis.drawing import Drawing
from mmcm.apis.inferencer import ConsistencyModelInferencer

__all__ = ['ConsistencyModelInferencer', 'Drawing']
