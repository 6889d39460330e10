import shutil

import pytest
import torch
from mmengine.runner import Runner

from mmcm.checkpoints.weights import read_backbone
from support.digits import build
from support.runs import config


def trained(folder, hook=None):
    """Return the weights after a few steps in which networks drop features."""
    cfg = config(folder, iterations=3, custom_hooks=[] if hook is None else [dict(type='CompileHook', **hook)])
    cfg.model.objective.curriculum = dict(
        type='ProgressiveCurriculum', start_scales=2, end_scales=20, start_decay=0.8, total_steps=3
    )
    cfg.model.denoiser.backbone.dropout = 0.5
    folder.mkdir()
    torch.save(build().denoiser.backbone.state_dict(), folder / 'start.pth')  # no zeros that would hide what is dropped
    cfg.model.init_from = str(folder / 'start.pth')
    Runner.from_cfg(cfg).train()
    return read_backbone(folder / 'iter_3.pth')


def assert_same(weights, expected):
    assert list(weights) == list(expected)
    for key, value in expected.items():
        torch.testing.assert_close(weights[key], value, rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings('ignore')  # torch warns of its own parts while it compiles
@pytest.mark.slow
def test_compiled_networks_learn_the_same_under_the_same_names(tmp_path):
    torch._dynamo.reset()
    weights = trained(tmp_path / 'compiled', dict(backend='eager'))
    assert torch._dynamo.utils.counters['frames']['ok'] > 0
    assert_same(weights, trained(tmp_path / 'plain'))


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')
@pytest.mark.skipif(shutil.which('c++') is None and shutil.which('g++') is None, reason='needs a C++ compiler')
def test_machine_code_learns_the_same(tmp_path):
    assert_same(trained(tmp_path / 'compiled', {}), trained(tmp_path / 'plain'))
