import os

import pytest
import torch
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader

from mmcm.utils.errors import InputError
from support.runs import config, watched


def test_average_moves_after_each_step(tmp_path):
    watch = watched(config(tmp_path))
    assert watch.steps == [0, 1, 2, 3]
    expected = 0.0  # where the last layer starts
    for online, average in zip(watch.online, watch.average):
        expected = 0.5 * expected + 0.5 * online
        assert average == pytest.approx(expected, rel=1e-5)
    assert watch.online[0] != 0


def test_with_accumulated_gradients_a_step_is_one_of_the_optimiser(tmp_path):
    cfg = config(tmp_path)
    cfg.optim_wrapper.accumulative_counts = 2
    watch = watched(cfg)
    assert watch.steps == [0, 0, 1, 1]
    assert watch.average[0] == 0 and watch.average[1] == watch.average[2] == pytest.approx(0.5 * watch.online[1])
    assert watch.average[3] == pytest.approx(0.5 * watch.average[1] + 0.5 * watch.online[3])


def test_randomness_of_an_iteration_depends_on_the_seed_and_the_iteration_alone(tmp_path):
    first = watched(config(tmp_path / 'a'))
    longer = watched(config(tmp_path / 'b', iterations=6))
    other = config(tmp_path / 'c')
    other.randomness.seed = 1
    assert first.random == longer.random[:4] != watched(other).random
    assert len(set(longer.random)) == 6


def test_checkpoint_with_code_is_not_resumed(tmp_path):
    torch.save(dict(meta={}, state_dict=Evil(str(tmp_path / 'executed'))), tmp_path / 'iter_2.pth')
    cfg = config(tmp_path, resume=True, load_from=str(tmp_path / 'iter_2.pth'))
    with pytest.raises(InputError, match='refused'):
        Runner.from_cfg(cfg).train()
    assert not (tmp_path / 'executed').exists()


def test_checkpoint_with_code_is_refused_at_every_address(tmp_path, server, monkeypatch):
    monkeypatch.setenv('MMCM_HOME', str(tmp_path / 'home'))
    torch.save(dict(meta={}, state_dict=Evil(str(tmp_path / 'executed'))), tmp_path / 'model.pt')
    server.content = (tmp_path / 'model.pt').read_bytes()
    for address in (str(tmp_path / 'model.pt'), server.url):
        with pytest.raises(InputError, match='refused'):
            CheckpointLoader.load_checkpoint(address)
    with pytest.raises(InputError, match='cannot be read safely'):
        CheckpointLoader.load_checkpoint('s3://bucket/model.pt')
    assert not (tmp_path / 'executed').exists()


def test_autocast_computes_in_bfloat16(tmp_path):
    cfg = config(tmp_path)
    cfg.optim_wrapper.type = 'AutocastOptimWrapper'
    runner = Runner.from_cfg(cfg)
    seen = []
    conv = runner.model.denoiser.backbone.input_blocks[1][0].in_layers[2]
    conv.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    runner.train()
    assert torch.bfloat16 in seen and conv.weight.dtype == torch.float32


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)
