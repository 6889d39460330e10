import re

import pytest
from mmengine.config import Config

from mmcm.checkpoints import parse_config
from mmcm.utils.errors import InputError
from support.diffusers_models import model_config

TEXT = "model = dict(size=(1, 2), sampler=dict(indices=[0, 22], sigmas=None, rho=-7.0), type='A')\nname = {'a b': 1}\n"


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
