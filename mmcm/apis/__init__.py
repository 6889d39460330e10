"""The API of Python programs: sample, edit, evaluate and export in a few lines."""

from typing import Any

from mmcm.apis import sampling_result
from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.apis.request import SampleRequest
from mmcm.apis.sampling_result import SamplingResult

__all__ = ['ConsistencyModelInferencer', 'SampleRequest', 'SamplingResult']


def __getattr__(name: str) -> Any:
    if name == 'Drawing':
        return sampling_result.Drawing  # which warns
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
