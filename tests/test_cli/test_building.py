import builtins
import os
import signal

import pytest
import torch
from mmengine.hooks import Hook
from torch import nn

from mmcm.cli.building import built_from_config
from mmcm.cli.main import main as mmcm
from mmcm.cli.train import main, train
from mmcm.registry import DATASETS, HOOKS, MODELS
from mmcm.utils.errors import TRACEBACK, InputError
from support import runs

# Runners of the same second in one process share MMEngine's name for them.
pytestmark = pytest.mark.filterwarnings('ignore:.*has been created')


@HOOKS.register_module()
class Raising(Hook):
    """A hook of a user that raises an error where it is told to."""

    def __init__(self, stage, error='RuntimeError'):
        self.error = torch.cuda.OutOfMemoryError if error == 'OutOfMemoryError' else getattr(builtins, error)
        setattr(self, stage, self.fail)
        if stage == '__init__':
            self.fail()

    def fail(self, *_, **__):
        raise self.error('the hook is broken')


@MODELS.register_module()
class Clumsy(nn.Module):
    """A part with a programming error."""

    def __init__(self):
        super().__init__()
        self.nothing.there = 3


def run(tmp_path, **changes):
    cfg = runs.config(tmp_path, iterations=1)
    cfg.resume = False
    cfg.merge_from_dict({name.replace('__', '.'): value for name, value in changes.items()})
    return train(cfg)


@pytest.mark.parametrize('changes, words', [
    (dict(model__denoiser__backbone__dropout=2), 'model.denoiser.backbone, ADMUNet: dropout probability has to be'),
    (dict(optim_wrapper__clip_grad=1.0), 'optim_wrapper, OptimWrapper: If `clip_grad` is not None'),
    (dict(optim_wrapper__optimizer__lr='abc'), 'optim_wrapper.optimizer, SGD: TypeError.* it is .*abc'),
    (dict(optim_wrapper__constructor='Foo'), "there is no optimizer wrapper constructor 'Foo'"),
    (dict(randomness__seed=2**32), r'randomness: Seed must be between 0 and 2\*\*32 - 1'),
    (dict(train_dataloader__persistent_workers=True), 'train_dataloader: persistent_workers option needs num_workers'),
    (dict(train_dataloader__sampler__type='Foo'), "train_dataloader.sampler.type: there is no data sampler 'Foo'"),
    (dict(train_cfg__by_epoch=True), 'train_cfg: RuntimeError: Only one of `type` or `by_epoch`'),
    (dict(train_cfg__max_iters='abc'), "train_cfg, IterBasedTrainLoop: invalid literal for int.*'abc'"),
    (dict(default_hooks__logger__interval=0), 'default_hooks.logger, LoggerHook: interval must be greater than 0'),
    (dict(default_hooks__mine=dict(interval=3)), 'default_hooks.mine has no type'),
    (dict(default_hooks__logger__priority='FOO'), 'default_hooks: KeyError: FOO'),
    (dict(param_scheduler=dict(type='PolyLR', begin=5, end=1)), 'param_scheduler, PolyLR: end should be larger'),
    (dict(env_cfg=dict(mp_cfg=dict(opencv_num_threads='abc'))), "env_cfg: TypeError: Argument 'nthreads'"),
    (dict(log_level='LOUD'), 'log_level: KeyError: LOUD'),
    (dict(log_processor=3), 'log_processor: TypeError: log processor should be'),
    (dict(visualizer=dict(type='Visualizer', vis_backends=3)), 'visualizer, Visualizer: TypeError: vis_backends'),
    (dict(activation_checkpointing=['foo']), "activation_checkpointing: AttributeError: .* it is .'foo'."),
    (dict(custom_hooks=[dict(type='Raising', stage='__init__')]), 'custom_hooks.0, Raising: RuntimeError: the hook is'),
    (dict(custom_hooks=[dict(type='Raising')]), 'custom_hooks.0, Raising: TypeError: missing 1 required positional'),
    (dict(custom_hooks=[dict(type='Raising', stage='before_run')]), 'RuntimeError: the hook is broken'),
    (dict(custom_hooks=[dict(type='Raising', stage='before_train', error='KeyError')]), 'KeyError: the hook is broken'),
])  # yapf: disable
def test_whatever_is_raised_while_a_run_is_built_is_one_line(tmp_path, changes, words):
    with pytest.raises(InputError, match=f'^the config cannot be built: {words}') as caught:
        run(tmp_path, **changes)
    assert caught.value.__cause__ is not None and '\n' not in str(caught.value)


@pytest.mark.parametrize('stage', ['after_train_iter', 'before_train_iter', 'before_save_checkpoint', 'after_run'])
def test_error_of_a_run_under_way_keeps_its_traceback(tmp_path, stage):
    with pytest.raises(RuntimeError, match='^the hook is broken$'):
        run(tmp_path, custom_hooks=[dict(type='Raising', stage=stage)])


def test_error_of_data_keeps_its_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr(DATASETS.get('DigitsDataset'), '__getitem__', lambda *_: 1 / 0)
    monkeypatch.setattr(DATASETS.get('DigitsDataset'), '__getitems__', lambda *_: 1 / 0, raising=False)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path)


@pytest.mark.parametrize('error', ['MemoryError', 'OutOfMemoryError'])
def test_lack_of_memory_is_no_fault_of_the_config(tmp_path, error):
    with pytest.raises((MemoryError, torch.cuda.OutOfMemoryError), match='broken'):
        run(tmp_path, custom_hooks=[dict(type='Raising', stage='__init__', error=error)])


def test_work_directory_that_is_gone_is_no_fault_of_the_config(tmp_path):
    cfg = runs.config(tmp_path / 'gone')
    with pytest.raises(FileNotFoundError), built_from_config(cfg):
        HOOKS.build(dict(type='Raising', stage='__init__', error='FileNotFoundError'))


def test_interrupt_is_no_fault_of_the_config(tmp_path, monkeypatch):
    monkeypatch.setattr('mmcm.cli.building.received', lambda: signal.SIGTERM)
    with pytest.raises(RuntimeError, match='^the hook is broken'), built_from_config():
        HOOKS.build(dict(type='Raising', stage='__init__'))


@pytest.mark.parametrize('shown', [True, False])
def test_traceback_of_a_programming_error_can_be_seen(tmp_path, monkeypatch, capsys, shown):
    monkeypatch.setenv(TRACEBACK, '1' if shown else '')
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'own.py').write_text(
        "_base_ = 'mmcm::digits/ct_1xb32_digits-8x8.py'\n"
        "model = dict(denoiser=dict(backbone=dict(_delete_=True, type='Clumsy')))\n"
    )
    with pytest.raises(SystemExit, match='2'):
        main([f'{tmp_path / "own.py"}', '--work-dir', f'run{os.getpid()}'])
    *before, line = capsys.readouterr().err.splitlines()
    assert "model.denoiser.backbone, Clumsy: AttributeError: 'Clumsy' object has no attribute 'nothing'" in line
    assert any('self.nothing.there = 3' in each for each in before) == shown


def test_model_of_a_config_is_told_by_whatever_command_builds_it(tmp_path, capsys):
    (tmp_path / 'own.py').write_text(
        "_base_ = 'mmcm::digits/ct_1xb32_digits-8x8.py'\nmodel = dict(denoiser=dict(backbone=dict(dropout=2)))\n"
    )
    for command in ('sample', 'export'):
        with pytest.raises(SystemExit, match='2'):
            mmcm(
                [
                    command,
                    '--model',
                    str(tmp_path / 'own.py'),
                    '--checkpoint',
                    'digits',
                    '--out',
                    str(tmp_path / 'x.onnx' if command == 'export' else tmp_path / 'x.npz'),
                ]
            )
        assert 'cannot be built: ADMUNet: dropout probability has to be' in capsys.readouterr().err
