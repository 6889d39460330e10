"""What programs and people call: pictures from a model, in a few lines."""
from mmcm.apis.inferencer import ConsistencyModelInferencer, Drawing

__all__ = ['ConsistencyModelInferencer', 'Drawing']
