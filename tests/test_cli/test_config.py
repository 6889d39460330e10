import inspect
from argparse import Namespace

import pytest
from mmengine.runner import FlexibleRunner, Runner

from mmcm.cli.config import SETTINGS, runner_config
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


def test_settings_of_the_config_and_of_mmengine_may_be_set(tmp_path):
    config = runner_config(options(tmp_path, **{'my_own': 4, 'custom_hooks': [], 'train_cfg.max_iters': 1}))
    assert config.my_own == 4 and config.train_cfg.max_iters == 1
