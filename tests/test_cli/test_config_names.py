import pytest

from mmcm.cli.config_names import check_file_names, files_of
from mmcm.config import read_config
from mmcm.utils.errors import InputError
from mmcm.zoo import list_configs

OURS = "_base_ = 'mmcm::digits/ct_1xb32_digits-8x8.py'\n"


def check(tmp_path, text, name='mine.py', **bases):
    for base, content in bases.items():
        (tmp_path / f'{base}.py').write_text(content)
    path = tmp_path / name
    path.write_text(text)
    check_file_names(path, read_config(path))


@pytest.mark.parametrize('text, words', [
    ('optim_wraper = dict(clip_grad=dict(max_norm=1.0))', "'optim_wraper', nearest: optim_wrapper"),
    ('train_dataloder = dict(batch_size=8)', "'train_dataloder', nearest: train_dataloader"),
    ('randomnes = dict(seed=1)', "'randomnes', nearest: randomness"),
    ('custom_hook = []', "'custom_hook', nearest: custom_hooks"),
    ('load_form = 3', "'load_form', nearest: load_from"),
    ('max_iters = 7', 'max_iters is a variable of .*ct_1xb32_digits-8x8.py.*such as train_cfg.max_iters'),
])  # yapf: disable
def test_name_that_nothing_reads_is_refused(tmp_path, text, words):
    with pytest.raises(InputError, match=f'mine.py: .*{words}'):
        check(tmp_path, f'{OURS}{text}\n')


@pytest.mark.parametrize(
    'text',
    [
        'my_own = 3',
        'max_iters = 7\ntrain_cfg = dict(max_iters=max_iters)',
        'custom_hook = dict(type="IterTimerHook")\ncustom_hooks = [custom_hook]',
        'batch = 8\nfor size in (4, 8):\n    batch = size\n',
        'import math\nhalf = math.pi',
        'train_cfg = dict(max_iters={{_base_.max_iters}})',
        'models = 3\nmodel = dict(ema_decays=[models / 4])',
    ],
)
def test_variables_may_have_any_name(tmp_path, text):
    check(tmp_path, f'{OURS}{text}\n')


def test_variable_that_a_child_uses_has_an_effect(tmp_path):
    check(
        tmp_path,
        "_base_ = './base.py'\ntrain_cfg = dict(max_iters=_base_.max_iter)\nmax_iter = 5\n",
        base=f'{OURS}max_iter = 5\n',
    )
    with pytest.raises(InputError, match='mine.py: steps is a variable of .*base.py'):
        check(
            tmp_path, "_base_ = './base.py'\nsteps = 3\n", base=f'{OURS}steps = 5\ntrain_cfg = dict(max_iters=steps)\n'
        )


def test_misspelt_setting_of_a_base_is_told_with_the_base(tmp_path):
    with pytest.raises(InputError, match="base.py: nothing reads a setting 'optim_wraper'"):
        check(tmp_path, "_base_ = './base.py'\n", base=f'{OURS}optim_wraper = dict()\n')


def test_json_has_no_variables_but_settings_of_hooks(tmp_path):
    check(tmp_path, '{"model": {}, "my_own": 3}', 'mine.json')
    with pytest.raises(InputError, match="'optim_wraper'"):
        check(tmp_path, '{"model": {}, "optim_wraper": {}}', 'mine.json')


def test_config_that_inherits_by_imports_is_left_alone(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(
        'from mmengine.config import read_base\n\nwith read_base():\n    from .base import *\nmodell = dict()\n'
    )
    assert list(files_of(path)) == []


@pytest.mark.parametrize('path', list_configs(), ids=lambda path: path.stem)
def test_our_configs_have_no_idle_names(path):
    check_file_names(path, read_config(path))
