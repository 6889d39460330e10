import pytest
import torch
from torch import nn

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
