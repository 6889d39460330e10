"""Iterations and images per step of the optimiser, and averages that depend on them, in real runs."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import Runner

from mmcm.checkpoints.weights import read_checkpoint
from mmcm.engine.steps import images_per_step, iterations_per_step
from support.digits import model_config, objective_config
from support.runs import config

DECAYS = (dict(sigma_rel=0.1), dict(half_life=40, ramp_up=0.5))


@pytest.mark.parametrize('counts, parts, iterations', [(1, 1, 1), (4, 1, 4), (4, 4, 1), (6, 3, 2)])
def test_step_has_the_images_of_all_its_batches(counts, parts, iterations):
    runner = SimpleNamespace(
        optim_wrapper=SimpleNamespace(_accumulative_counts=counts), train_loop=SimpleNamespace(num_parts=parts)
    )
    assert iterations_per_step(runner) == iterations
    assert images_per_step(runner, dict(inputs=torch.zeros(16, 1, 8, 8))) == 16 * iterations
    assert images_per_step(runner, dict(inputs=[torch.zeros(1, 8, 8)] * 5)) == 5 * iterations
    assert images_per_step(runner, None) is None


def averaging(work_dir, **changes):
    cfg = config(work_dir, iterations=8, **changes)
    cfg.model = model_config(objective=objective_config(), ema_decays=DECAYS)
    cfg.optim_wrapper.accumulative_counts = 2
    cfg.default_hooks.checkpoint.interval = 4
    cfg.default_hooks.plain_log = dict(type='PlainLogHook')
    return cfg


def test_resumed_run_ends_with_the_same_averages(tmp_path):
    Runner.from_cfg(averaging(tmp_path / 'whole')).train()
    path = tmp_path / 'whole' / 'iter_4.pth'
    Runner.from_cfg(averaging(tmp_path / 'resumed', resume=True, load_from=str(path))).train()
    whole, resumed = (read_checkpoint(tmp_path / name / 'iter_8.pth')['state_dict'] for name in ('whole', 'resumed'))
    names = {key.split('.')[1] for key in whole if key.startswith('emas.')}
    assert names == {'sigma_rel_0_1', 'half_life_40_ramp_up_0_5'}
    assert whole.keys() == resumed.keys()
    for key, tensor in whole.items():
        assert torch.equal(resumed[key], tensor), key
