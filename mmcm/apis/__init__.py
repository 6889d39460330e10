"""What programs and people call: images from a model, in a few lines.

Names are imported when they are used, so that what needs no torch, such as the arguments of `mmcm edit`, loads none.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmcm.apis.inferencer import ConsistencyModelInferencer
    from mmcm.apis.sampling_result import Drawing

__all__ = ['ConsistencyModelInferencer', 'Drawing']
MODULES = {'ConsistencyModelInferencer': 'mmcm.apis.inferencer', 'Drawing': 'mmcm.apis.sampling_result'}


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(MODULES[name]), name)
