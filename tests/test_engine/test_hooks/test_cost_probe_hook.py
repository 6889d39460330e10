import json
import math
import time

import torch
from mmengine.runner import Runner

from mmcm.engine.hooks import cost_probe_hook as module
from mmcm.engine.hooks.cost_probe_hook import LEAST_STEPS, ROUNDS, WARM_UP, CostProbeHook
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


def test_probe_alternates_threads_and_ends_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'HOPELESS', math.inf)
    monkeypatch.setattr(module, 'SLOW_STEP', math.inf)
    runner, found, seconds = probed(tmp_path)
    assert runner.iter == WARM_UP + ROUNDS * 2 * (LEAST_STEPS + 1)  # the first step of a block is not counted
    assert [threads for threads, _ in found['steps']] == ([1] * LEAST_STEPS + [2] * LEAST_STEPS) * ROUNDS
    assert found['threads'] in (1, 2) and found['memory'] > 10**7
    parts = [found['start'], found['checkpoint'], found['grids'], *(step for _, step in found['steps'])]
    assert min(parts) >= 0 and sum(parts) < seconds
    assert found['checkpoint'] > 0 and 'validation' not in found
    assert (tmp_path / 'run' / f'iter_{runner.iter}.pth').exists()


def test_threads_that_are_far_slower_are_measured_once(tmp_path, monkeypatch):
    clock = [0.0]
    ticks = {1: 1.0, 2: 30.0}
    hook = CostProbeHook(str(tmp_path / 'x.json'), [1, 2], 100.0, 0.0)
    number = [1]
    monkeypatch.setattr(hook, 'set_threads', lambda threads: number.__setitem__(0, threads))
    monkeypatch.setattr(module.time, 'perf_counter', lambda: clock[0])
    ended = []
    monkeypatch.setattr(hook, 'finish', ended.append)
    hook.before_train_iter(None, 0)
    while not ended:
        clock[0] += ticks[number[0]]
        hook.after_train_iter(None, 0)
    assert hook.best() == (1, 1.0)
    assert [step for threads, step in hook.steps if threads == 2] == [30.0]
    assert [step for threads, step in hook.steps if threads == 1] == [1.0] * 100  # two rounds of 50 seconds
