import pytest
import torch
from mmengine.config import Config

from mmcm.apis.analysis.config_settings import Difference, differences, resolved_config, setting_of, text_of
from mmcm.utils.errors import InputError
from support.digits import build, write_config


def test_differences_are_settings_with_dots_in_the_order_of_the_first_config():
    left = Config(dict(model=dict(a=1, b=(1, 2), hooks=[dict(type='A'), dict(type='B')]), only=3))
    right = Config(dict(new='x', model=dict(a=1, b=(1, 3), hooks=[dict(type='A'), dict(type='C')])))
    assert differences(left, right) == [
        Difference('model.b', '(1, 2)', '(1, 3)'),
        Difference('model.hooks.1.type', "'B'", "'C'"),
        Difference('only', '3', None),
        Difference('new', None, "'x'"),
    ]
    assert differences(left, left) == []


def test_name_of_the_zoo_means_its_config_and_options_change_it():
    config = resolved_config('digits', {'model.sampler.num_scales': 7})
    assert config.model.sampler.num_scales == 7 and config.train_dataloader.dataset.type == 'DigitsDataset'


def test_config_in_a_file_of_weights_is_parsed_and_never_run(tmp_path):
    text = f"model = dict(type='ConsistencyModel')\nhook = __import__('os').mkdir({str(tmp_path / 'ran')!r})\n"
    torch.save(dict(meta=dict(cfg=text), state_dict={}), tmp_path / 'hostile.pth')
    with pytest.raises(InputError, match='hostile'):
        resolved_config(str(tmp_path / 'hostile.pth'))
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize(
    'settings',
    [
        {'extra': {"a': print('run'), 'b": 1}},  # MMEngine writes a name as it is, between quotes
        {'extra': {'a\nb': 1}},
        {'extra': [dict(a={None: 1})]},
        {'extra': {'class': 1}},
        {'extra': {3: 1}},
    ],
)
def test_names_that_would_be_code_are_refused(tmp_path, settings):
    text = f"model = dict(type='ConsistencyModel')\nextra = {settings['extra']!r}\n"
    torch.save(dict(meta=dict(cfg=text), state_dict={}), tmp_path / 'x.pth')
    with pytest.raises(InputError, match='a setting named .*, which no config has'):
        resolved_config(str(tmp_path / 'x.pth'))


@pytest.mark.parametrize('name', ['filename', 'text', 'env_variables'])
def test_names_that_configs_of_mmengine_keep_are_refused(tmp_path, name):
    text = f"model = dict(type='ConsistencyModel')\n{name} = 'x'\n"
    torch.save(dict(meta=dict(cfg=text), state_dict={}), tmp_path / 'x.pth')
    with pytest.raises(InputError, match=f"a setting named '{name}'"):
        resolved_config(str(tmp_path / 'x.pth'))


def test_config_that_would_take_minutes_to_format_is_not_written():
    with pytest.raises(InputError, match='more than 100,000 letters'):
        text_of(Config(dict(values=list(range(30_000)))), 'x.pth')


def test_weights_without_a_config_are_refused(tmp_path):
    torch.save(build().denoiser.backbone.state_dict(), tmp_path / 'plain.pt')
    with pytest.raises(InputError, match='without a config'):
        resolved_config(str(tmp_path / 'plain.pt'))


def test_setting_is_found_by_its_name_and_by_its_place_in_a_list(tmp_path):
    config = resolved_config(str(write_config(tmp_path, hooks=[dict(type='A', names=('x', 'y'))])))
    assert setting_of(config, 'hooks.0.names.1', 'tiny') == 'y'
    with pytest.raises(InputError, match="no 'smapler', nearest: sampler"):
        setting_of(config, 'model.smapler', 'tiny')
    with pytest.raises(InputError, match="no '3'"):
        setting_of(config, 'hooks.3', 'tiny')
