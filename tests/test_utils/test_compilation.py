import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from mmcm.config import read_config
from mmcm.registry import MODELS
from mmcm.utils.compilation import compile_network, compile_options
from mmcm.utils.errors import InputError

CPU = torch.device('cpu')


def test_flag_or_options_of_torch():
    assert compile_options(False) is None
    assert compile_options(True) == {}
    assert compile_options(dict(mode='reduce-overhead')) == dict(mode='reduce-overhead')


@pytest.mark.parametrize('given', ['yes', 1, None, {1: 2}, dict(mode='fast')])
def test_other_values_are_refused(given):
    with pytest.raises(InputError, match='compile'):
        compile_options(given)


def test_missing_compiler_is_told(monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    network = nn.Linear(1, 1)
    with pytest.raises(InputError, match='no-such-compiler was not found: install it'):
        compile_network(network, CPU, {})
    compile_network(network, CPU, dict(backend='eager'))  # which needs none


def test_unknown_options_are_told():
    with pytest.raises(InputError, match=r"torch.compile does not take .*'color'"):
        compile_network(nn.Linear(1, 1), CPU, dict(backend='eager', color=1))


@pytest.mark.parametrize('recipe', ['cd', 'edm2', 'pmf'])
def test_each_network_is_one_program_that_later_steps_and_requests_use(recipe):
    config = read_config(f'{recipe}_1xb32_digits-8x8').model
    torch.manual_seed(0)
    model = MODELS.build(dict(type='ConsistencyModel', denoiser=config.denoiser, sampler=config.sampler)).eval()
    expected = model.sample(2, [0, 1])
    torch.compiler.reset()
    counters.clear()
    compile_network(model.inference_denoiser.backbone, CPU, dict(backend='eager', fullgraph=True))
    found = [model.sample(2, [0, 1]) for _ in range(2)]
    assert counters['stats']['unique_graphs'] == 1
    for images in found:
        torch.testing.assert_close(images, expected, rtol=0, atol=1e-4)
