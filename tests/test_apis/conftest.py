import pytest
import torch

from mmcm.apis import ConsistencyModelInferencer
from support.digits import build, write_config


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'tiny.pt'
    torch.save(build().denoiser.backbone.state_dict(), path)
    return str(path)


@pytest.fixture
def inferencer(tmp_path, checkpoint):
    return ConsistencyModelInferencer(write_config(tmp_path), checkpoint, device='cpu')
