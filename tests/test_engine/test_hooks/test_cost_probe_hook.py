import json
import time

import torch
from mmengine.runner import Runner

from mmcm.engine.hooks.cost_probe_hook import LEAST_STEPS, ROUNDS, WARM_UP
from support.runs import config


def probed(tmp_path, **changes):
    out = tmp_path / 'costs.json'
    begun = time.time()
    hook = dict(type='CostProbeHook', out=str(out), threads=[1, 2], seconds=1e-6, begun=begun)
    before = torch.get_num_threads()
    try:
        runner = Runner.from_cfg(config(tmp_path / 'run', iterations=10**6, custom_hooks=[hook], **changes))
        runner.train()
    finally:
        torch.set_num_threads(before)
    return runner, json.loads(out.read_text()), time.time() - begun


def test_probe_alternates_threads_and_ends_the_training(tmp_path):
    runner, found, seconds = probed(tmp_path)
    assert runner.iter == WARM_UP + ROUNDS * 2 * (LEAST_STEPS + 1)  # the first step of a block is not counted
    assert [threads for threads, _ in found['steps']] == ([1] * LEAST_STEPS + [2] * LEAST_STEPS) * ROUNDS
    assert found['threads'] in (1, 2) and found['memory'] > 10**7
    parts = [found['start'], found['checkpoint'], found['grids'], *(step for _, step in found['steps'])]
    assert min(parts) >= 0 and sum(parts) < seconds
    assert found['checkpoint'] > 0 and 'validation' not in found
    assert (tmp_path / 'run' / f'iter_{runner.iter}.pth').exists()
