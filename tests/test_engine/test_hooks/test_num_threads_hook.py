import pytest
import torch
from mmengine.runner import Runner

from mmcm.utils.errors import InputError
from support.runs import config


def test_training_computes_with_the_number_of_threads(tmp_path):
    before = torch.get_num_threads()
    try:
        changes = dict(custom_hooks=[dict(type='NumThreadsHook', num_threads=before + 1)])
        Runner.from_cfg(config(tmp_path, iterations=1, **changes)).train()
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_no_threads_are_refused():
    from mmcm.engine.hooks import NumThreadsHook

    with pytest.raises(InputError, match='num_threads'):
        NumThreadsHook(0)
