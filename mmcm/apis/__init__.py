"""What programs and people call: pictures from a model, in a few lines."""

from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.apis.sampling_result import Drawing

__all__ = ['ConsistencyModelInferencer', 'Drawing']
