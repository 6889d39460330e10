"""The API of Python programs: sample, edit, evaluate and export in a few lines.

Names are imported when they are used, so that what needs no torch, such as the arguments of `mmcm edit`, loads none.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmcm.apis.inferencer import ConsistencyModelInferencer
    from mmcm.apis.request import SampleRequest
    from mmcm.apis.sampling_result import SamplingResult

__all__ = ['ConsistencyModelInferencer', 'SampleRequest', 'SamplingResult']
MODULES = {
    'ConsistencyModelInferencer': 'mmcm.apis.inferencer',
    'Drawing': 'mmcm.apis.sampling_result',  # which warns: it is SamplingResult now
    'SampleRequest': 'mmcm.apis.request',
    'SamplingResult': 'mmcm.apis.sampling_result',
}


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(MODULES[name]), name)
