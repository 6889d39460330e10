import pytest
import torch
from interop import model_config
from mmengine.config import Config
from safetensors.torch import save_file

from mmcm.interop import config_text, parse_config
from mmcm.utils.errors import InputError

TEXT = "model = dict(size=(1, 2), sampler=dict(indices=[0, 22], sigmas=None, rho=-7.0), type='A')\nname = {'a b': 1}\n"


def test_text_is_found_where_commands_write_it(tmp_path):
    save_file(dict(a=torch.ones(1)), tmp_path / 'published.safetensors', dict(config=TEXT))
    torch.save(dict(meta=dict(cfg=TEXT), state_dict=dict(a=torch.ones(1))), tmp_path / 'iter_8.pth')
    assert config_text(tmp_path / 'published.safetensors') == config_text(tmp_path / 'iter_8.pth') == TEXT


def test_weights_alone_have_none(tmp_path):
    save_file(dict(a=torch.ones(1)), tmp_path / 'x.safetensors')
    torch.save(dict(a=torch.ones(1)), tmp_path / 'x.pt')
    torch.save(dict(meta=None, a=torch.ones(1)), tmp_path / 'y.pt')
    assert [config_text(tmp_path / name) for name in ('x.safetensors', 'x.pt', 'y.pt')] == ['', '', '']


def test_file_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / 'x.safetensors').write_bytes(b'half')
    with pytest.raises(InputError, match='is no whole checkpoint'):
        config_text(tmp_path / 'x.safetensors')


def test_values_are_those_of_the_text():
    assert parse_config(TEXT) == dict(
        model=dict(size=(1, 2), sampler=dict(indices=[0, 22], sigmas=None, rho=-7.0), type='A'), name={'a b': 1})


def test_what_mmengine_writes_is_read_as_it_was():
    hooks = [dict(type='A', rates={'1e-3': (0.1, ), 'b': dict(c=False)}), None]
    config = dict(model=model_config(), custom_hooks=hooks, work_dir='/a\\b"c')
    assert parse_config(Config(config).pretty_text) == config


def test_text_is_read_and_not_run(tmp_path):
    text = f'import os\nos.mkdir({str(tmp_path / "run")!r})\nmodel = dict(a=os.mkdir("x"), b=[dir(), 1])\nc, d = 1, 2\n'
    assert parse_config(text) == dict(model=dict(a=None, b=[None, 1]))
    assert not list(tmp_path.iterdir())
    assert parse_config('no python(') == parse_config('\0') == {}
