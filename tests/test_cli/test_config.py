import inspect
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest
from mmengine.runner import FlexibleRunner, Runner

from mmcm.cli.config import Options, as_values, main, runner_config
from mmcm.cli.config_names import SETTINGS
from mmcm.config import read_config
from mmcm.utils.errors import InputError


@pytest.mark.parametrize('runner', [Runner, FlexibleRunner])
def test_every_setting_of_the_runners_is_known(runner):
    assert set(inspect.signature(runner.__init__).parameters) - {'self', 'cfg'} <= SETTINGS


def options(tmp_path, **values):
    (tmp_path / 'mine.py').write_text("model = dict(type='ConsistencyModel')\nmy_own = 3\n")
    return Namespace(config=str(tmp_path / 'mine.py'), cfg_options=values, launcher='none', work_dir=str(tmp_path))


def test_setting_that_nothing_reads_is_refused(tmp_path):
    with pytest.raises(InputError, match="'train_dataloder', nearest: train_dataloader"):
        runner_config(options(tmp_path, **{'train_dataloder.batch_size': 3}))


def test_settings_with_dots_are_settings_of_settings():
    options = {'network.type': 'torch.nn.Linear', 'network.in_features': 3, 'size': '(4,4)', 'network.args.x': '1'}
    assert as_values(options) == dict(network=dict(type='torch.nn.Linear', in_features=3, args=dict(x=1)), size=(4, 4))
    for wrong in ({'a': 1, 'a.b': 2}, {'a.b': 2, 'a': 1}):
        with pytest.raises(InputError, match='give one of them'):
            as_values(wrong)


def test_settings_of_the_config_and_of_mmengine_may_be_set(tmp_path):
    config = runner_config(options(tmp_path, **{'my_own': 4, 'custom_hooks': [], 'train_cfg.max_iters': 1}))
    assert config.my_own == 4 and config.train_cfg.max_iters == 1


def test_variable_of_our_configs_is_no_setting(tmp_path):
    args = Namespace(
        config='ict_1xb32_digits-8x8', cfg_options=dict(max_iters=20), launcher='none', work_dir=str(tmp_path)
    )
    with pytest.raises(InputError, match='max_iters is a variable of the config file.* such as train_cfg.max_iters'):
        runner_config(args)


def test_paths_are_text_whatever_they_look_like():
    parser = ArgumentParser()
    parser.add_argument('--options', nargs='+', action=Options)
    given = ['data_root=2012', 'a.data_file=2012.10', 'b.data_root=True', 'split=5', 'data_root_2=6']
    options = parser.parse_args(['--options', *given]).options
    assert options == {
        'data_root': '2012',
        'a.data_file': '2012.10',
        'b.data_root': 'True',
        'split': 5,
        'data_root_2': 6,
    }
    assert as_values(options) == dict(
        data_root='2012', a=dict(data_file='2012.10'), b=dict(data_root='True'), split=5, data_root_2=6
    )


def test_printed_config_is_a_config_of_one_file(tmp_path, capsys):
    main(['ct_1xb32_digits-8x8', '--cfg-options', 'train_cfg.max_iters=7'])
    (tmp_path / 'printed.py').write_text(capsys.readouterr().out)
    printed, whole = read_config(tmp_path / 'printed.py'), read_config('ct_1xb32_digits-8x8')
    whole.train_cfg.max_iters = 7
    assert printed.to_dict() == whole.to_dict()
    main(['ct_1xb32_digits-8x8', '--cfg-options', 'train_cfg.max_iters=7', '--out', str(tmp_path / 'written.py')])
    assert (tmp_path / 'written.py').read_text() == (tmp_path / 'printed.py').read_text()


def test_two_configs_are_printed_as_their_differences(capsys):
    main(['ct_1xb32_digits-8x8', 'ict_1xb32_digits-8x8'])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ['model.objective.type', "  - 'ConsistencyTraining'", "  + 'ImprovedConsistencyTraining'"]


def test_one_setting_and_the_files_are_printed(capsys):
    main(['digits', '--get', 'model.denoiser.type'])
    main(['digits', '--files'])
    setting, *files = capsys.readouterr().out.splitlines()
    assert setting == 'KarrasDenoiser' and files[0].endswith('cd-finetune_1xb64_digits-8x8.py')
    assert all(Path(file).is_file() and '..' not in file for file in files)
    assert files[-1].endswith('default_runtime.py')


@pytest.mark.parametrize(
    'arguments', [['--get', 'model.no'], ['digits', '--files'], ['--out', 'x.txt'], ['--cfg-options', 'model']]
)
def test_wrong_arguments_are_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as raised:
        main(['ct_1xb32_digits-8x8', *arguments])
    assert raised.value.code == 2 and capsys.readouterr().err.startswith('error: ')
