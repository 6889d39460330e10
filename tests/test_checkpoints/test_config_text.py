import re

import pytest
import torch
from mmengine.config import Config
from safetensors.torch import save_file

from mmcm.checkpoints import config_text, parse_config, text_and_size
from mmcm.utils.errors import InputError
from support.diffusers_models import model_config

TEXT = "model = dict(size=(1, 2), sampler=dict(indices=[0, 22], sigmas=None, rho=-7.0), type='A')\nname = {'a b': 1}\n"


def test_text_is_found_where_commands_write_it(tmp_path):
    save_file(dict(a=torch.ones(1)), tmp_path / 'published.safetensors', dict(config=TEXT))
    torch.save(dict(meta=dict(cfg=TEXT), state_dict=dict(a=torch.ones(1))), tmp_path / 'iter_8.pth')
    assert config_text(tmp_path / 'published.safetensors') == config_text(tmp_path / 'iter_8.pth') == TEXT


def test_no_tensor_of_a_safetensors_file_is_read(tmp_path, monkeypatch):
    save_file(dict(a=torch.ones(2, 3), b=torch.ones(())), tmp_path / 'x.safetensors', dict(config=TEXT))
    monkeypatch.setattr('mmcm.checkpoints.read.read_checkpoint', lambda *_, **__: pytest.fail('read all of it'))
    assert text_and_size(tmp_path / 'x.safetensors') == (TEXT, 7)


def test_truncated_safetensors_file_is_refused(tmp_path):
    save_file(dict(a=torch.ones(100)), tmp_path / 'x.safetensors', dict(config=TEXT))
    content = (tmp_path / 'x.safetensors').read_bytes()
    (tmp_path / 'x.safetensors').write_bytes(content[:-8])
    with pytest.raises(InputError, match='is no whole checkpoint'):
        config_text(tmp_path / 'x.safetensors')


def test_weights_alone_have_none(tmp_path):
    save_file(dict(a=torch.ones(1)), tmp_path / 'x.safetensors')
    torch.save(dict(a=torch.ones(1)), tmp_path / 'x.pt')
    torch.save(dict(meta=None, a=torch.ones(1)), tmp_path / 'y.pt')
    assert [config_text(tmp_path / name) for name in ('x.safetensors', 'x.pt', 'y.pt')] == ['', '', '']


def test_weights_that_share_a_storage_count_once(tmp_path):
    whole = torch.zeros(100)
    for content, count in (
        (dict(a=whole, b=whole.view(10, 10), c=whole[:7], d=torch.zeros(3, dtype=torch.half)), 103),
        (dict(a=whole[:20], b=whole[20:50]), 50),
        (dict(a=torch.zeros(2).expand(500, 2)), 2),
        (dict(a=torch.zeros(0), b=torch.zeros(0), step=3), 0),
    ):
        torch.save(content, tmp_path / 'x.pth')
        assert text_and_size(tmp_path / 'x.pth') == ('', count)
    save_file(dict(a=torch.ones(5), b=torch.ones(2, dtype=torch.half)), tmp_path / 'x.safetensors')
    assert text_and_size(tmp_path / 'x.safetensors') == ('', 7)


def test_file_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / 'x.safetensors').write_bytes(b'half')
    with pytest.raises(InputError, match='x.safetensors is a text .*and no checkpoint'):
        config_text(tmp_path / 'x.safetensors')


def test_values_are_those_of_the_text():
    assert parse_config(TEXT) == dict(
        model=dict(size=(1, 2), sampler=dict(indices=[0, 22], sigmas=None, rho=-7.0), type='A'), name={'a b': 1}
    )


def test_what_mmengine_writes_is_read_as_it_was():
    hooks = [dict(type='A', rates={'1e-3': (0.1,), 'b': dict(c=False)}), None]
    config = dict(model=model_config(), custom_hooks=hooks, work_dir='/a\\b"c')
    assert parse_config(Config(config).pretty_text) == config


def test_numbers_that_are_not_finite_are_read_as_mmengine_writes_them():
    config = dict(a=dict(s_tmax=float('inf'), low=-float('inf'), small=1e-5, large=-(10**30)), b={0: (), 1: ((), [])})
    assert parse_config(Config(config, format_python_code=False).pretty_text) == config


@pytest.mark.parametrize(
    'text, line, what',
    [
        ('a = 1\nimport os\n', 2, "import 'os' is no setting"),
        ('a = 1\n\nb = os.mkdir("x")\n', 3, "the call of 'os.mkdir' is refused"),
        ('a = dict(b=[1, dir()])', 1, "the call of 'dir' is refused"),
        ('a = torch.half', 1, "the name 'torch.half'"),
        ('a = b = 1', 1, "the name 'b'"),
        ('a, b = 1, 2', 1, "a ', b = 1, 2' is no setting"),
        ('no python(', 1, 'is no setting'),
        ('\0', 1, 'is no setting'),
        ('a = "b\n"', 1, 'is no setting'),
        ('a = 1 + 1', 1, "'+ 1' is no setting"),
        ('a = -"b"', 1, 'is no number'),
        ('a = [1 2]', 1, 'in place of a comma'),
        ('a = dict(b=1, b=2)', 1, "'b' is set twice"),
        ('a = 1\na = 2', 2, "'a' is set twice"),
        ('a = ' + '[' * 50, 1, 'more than 40 levels'),
        ('a = ' + '1' * 50, 1, 'at most 40 digits'),
        ('a = [', 1, 'the text ends'),
        ('a = {[]: 1}', 1, 'is no key'),
        ('a = "\\x"', 1, 'is no string'),
    ],
)
def test_what_is_no_setting_is_refused_by_name_and_line(text, line, what):
    with pytest.raises(InputError, match=re.escape('x.pth: the config in it is refused')) as error:
        parse_config(text, 'x.pth')
    assert f'Line {line}: ' in str(error.value) and what in str(error.value)


def test_text_that_is_longer_than_any_config_is_not_looked_at():
    with pytest.raises(InputError, match='has 1000005 characters'):
        parse_config('a = ' + '-' * 1_000_000 + '1')


def test_text_is_read_and_not_run(tmp_path):
    with pytest.raises(InputError, match='nothing of it was run'):
        parse_config(f'import os\nos.mkdir({str(tmp_path / "run")!r})\n')
    assert not list(tmp_path.iterdir())
