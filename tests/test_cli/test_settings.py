import copy
import re

import pytest

from mmcm.cli.settings import TEST, TRAINING, check_settings
from mmcm.config import read_config
from mmcm.utils.errors import InputError
from mmcm.zoo import list_configs

CONFIG = 'ct_1xb32_digits-8x8'
NAN, INF = float('nan'), float('inf')
COUNT = 'an integer of at least 1'
ADAM, HOOK = 'optim_wrapper.optimizer', 'default_hooks'

# Settings, and words of the line that refuses them; each is told before anything is built.
REFUSED = [
    ('optim_wrapper.clip_grad', (1.0, 'abc', [1]), 'optim_wrapper.clip_grad has to be a dict'),
    ('optim_wrapper.clip_grad.max_norm', ('abc', -1, 0, NAN, None), 'clip_grad.max_norm has to be a positive number'),
    ('optim_wrapper.clip_grad.max_nrom', (1, ), "takes no 'max_nrom', nearest: max_norm"),
    ('optim_wrapper.accumulative_counts', (0, -1, 'abc', 1.5, NAN, None, [1]), COUNT),
    ('optim_wrapper', (3, 'Adam', [1]), 'optim_wrapper has to be a dict'),
    ('optim_wrapper.type', ('OptimWraper', ), "there is no optim_wrapper 'OptimWraper'; did you mean OptimWrapper"),
    ('optim_wrapper.type', (3, ), 'optim_wrapper.type has to be a name, got 3'),
    ('optim_wrapper.optimzer.lr', (3, ), "optim_wrapper: OptimWrapper takes no 'optimzer', nearest: optimizer"),
    ('optim_wrapper.paramwise_cfg.custom_kyes', (1, ), "nothing reads a setting 'custom_kyes', nearest: custom_keys"),
    ('optim_wrapper.paramwise_cfg.bias_lr_mult', ('abc', NAN), 'bias_lr_mult has to be a finite number'),
    (ADAM, ('Adam', None, 3), f'{ADAM} has to be a dict'),
    (f'{ADAM}.type', ('Adamm', ), "there is no optimizer 'Adamm'; did you mean Adam"),
    (f'{ADAM}.lr', ('abc', -1, NAN, INF, None, [1, 2], True), 'lr has to be a number of at least 0'),
    (f'{ADAM}.lrr', (1, ), "RAdam takes no 'lrr', nearest: lr"),
    (f'{ADAM}.weight_decay', ('abc', -1, NAN), 'weight_decay has to be a number of at least 0'),
    (f'{ADAM}.eps', ('abc', -1, NAN), 'eps has to be a number of at least 0'),
    (f'{ADAM}.betas', (0.9, (0.9, ), (2, 3), (NAN, 0.9), ('a', 'b'), None), 'betas has to be numbers of at least 0'),
    ('randomness.seed', (2**32, -1, 'abc', 1.5, [1], NAN, True), 'randomness.seed has to be an integer from 0 to'),
    ('randomness.deterministic', ('abc', 2), 'randomness.deterministic has to be True or False'),
    ('randomness.seeed', (1, ), "takes no 'seeed', nearest: seed"),
    ('randomness', (3, None), 'randomness has to be a dict'),
    ('train_cfg.max_iters', (0, -1, 'abc', 1.5, None, NAN, [1], True), f'train_cfg.max_iters has to be {COUNT}'),
    ('train_cfg.max_iter', (5, ), "IterBasedTrainLoop takes no 'max_iter', nearest: max_iters"),
    ('train_cfg.by_epoch', (True, ), "IterBasedTrainLoop takes no 'by_epoch'"),
    ('train_cfg.type', ('EpochBasedTrainLoop', ), "EpochBasedTrainLoop takes no 'max_iters', nearest: max_epochs"),
    ('train_cfg.type', ('IterBasedTranLoop', ), "no loop 'IterBasedTranLoop'; did you mean IterBasedTrainLoop"),
    ('test_cfg.fp16', ('abc', ), 'test_cfg.fp16 has to be True or False'),
    ('test_cfg.foo', (3, ), "TestLoop takes no 'foo'"),
    ('train_cfg.val_interval', (0, 'abc'), f'val_interval has to be {COUNT}'),
    ('train_dataloader.persistent_workers', (True, ), 'persistent_workers=True is for worker processes'),
    ('train_dataloader.prefetch_factor', (2, ), 'prefetch_factor=2 is for worker processes'),
    ('train_dataloader.num_workers', (-1, 'abc', 1.5, None, True), 'num_workers has to be an integer of at least 0'),
    ('train_dataloader.batch_size', (0, -1, 'abc', 2.5, True, [2]), f'train_dataloader.batch_size has to be {COUNT}'),
    ('train_dataloader.batchsize', (3, ), "nothing reads a setting 'batchsize', nearest: batch_size"),
    ('train_dataloader.drop_last', ('abc', ), 'train_dataloader.drop_last has to be True or False'),
    ('train_dataloader.pin_memory', ('abc', ), 'train_dataloader.pin_memory has to be True or False'),
    ('train_dataloader', (3, 'abc'), 'train_dataloader has to be a dict'),
    ('train_dataloader.dataset', (3, None), 'train_dataloader.dataset has to be a dict'),
    ('train_dataloader.dataset.foo', (3, ), "train_dataloader.dataset: DigitsDataset takes no 'foo'"),
    ('train_dataloader.sampler.type', ('InfinitSampler', ), "no data sampler 'InfinitSampler'; did you mean Infinite"),
    ('train_dataloader.sampler.seed', ('abc', -1), 'train_dataloader.sampler.seed has to be an integer'),
    (f'{HOOK}.logger.interval', (0, -1, 'abc', 1.5), f'logger.interval has to be {COUNT}, got'),
    (f'{HOOK}.sample_grid.interval', (0, 'abc', 1.5, NAN, None), f'sample_grid.interval has to be {COUNT}, or -1 for'),
    (f'{HOOK}.checkpoint.interval', (0, 'abc', 1.5, NAN), f'checkpoint.interval has to be {COUNT}, or -1 for never'),
    (f'{HOOK}.checkpoint.intervall', (5, ), "nothing reads a setting 'intervall', nearest: interval"),
    (f'{HOOK}.checkpoint.max_keep_ckpts', ('abc', 1.5), 'max_keep_ckpts has to be an integer'),
    (f'{HOOK}.checkpoint.by_epoch', ('abc', ), 'checkpoint.by_epoch has to be True or False'),
    (f'{HOOK}.checkpoint.filename_tmpl', (3, 'model.pth'), 'filename_tmpl has to be a name with {} for the iteration'),
    (f'{HOOK}.sample_gird.interval', (5, ), "no hook 'sample_gird' that has a type, nearest: sample_grid"),
    (f'{HOOK}.trajectory.seed', ('abc', ), 'default_hooks.trajectory.seed has to be an integer'),
    (f'{HOOK}.loss_by_sigma.edges', (['a', 'b'], [NAN]), 'loss_by_sigma.edges has to be a list, each of it a number'),
    (f'{HOOK}.logger.priority', ('FOO', 101), 'logger.priority has to be a number from 0 to 100 or one of HIGHEST'),
    (f'{HOOK}.logger.type', ('LogerHook', ), "no hook 'LogerHook'; did you mean LoggerHook"),
    (HOOK, (3, [1]), 'default_hooks has to be a dict'),
    ('custom_hooks', (3, [3], 'EMAHook', {'type': 'EMAHook'}), 'custom_hooks has to be a list of dicts'),
    ('custom_hooks', ([{'type': 'EMAHok'}], ), "custom_hooks.0.type: there is no hook 'EMAHok'; did you mean EMAHook"),
    ('param_scheduler.power', ('abc', NAN), 'param_scheduler.power has to be a finite number'),
    ('param_scheduler.end', (0, 'abc'), f'param_scheduler.end has to be {COUNT}'),
    ('param_scheduler.powr', (1, ), "PolyLR takes no 'powr', nearest: power"),
    ('param_scheduler.type', ('MultiStepLR', ), "MultiStepLR takes no 'power'"),
    ('param_scheduler', ([{'type': 'PolyLR', 'begin': 'a'}], ), 'param_scheduler.0.begin has to be an integer'),
    ('log_level', ('LOUD', None), 'log_level has to be a level of logging, such as INFO'),
    ('log_processor.window_size', (0, 'abc'), f'window_size has to be {COUNT}'),
    ('visualizer.type', ('Visualiser', ), "there is no visualizer 'Visualiser'; did you mean Visualizer"),
    ('visualizer.vis_backends', (3, [3], 'LocalVisBackend'), 'vis_backends has to be a list of dicts'),
    ('env_cfg', (3, None), 'env_cfg has to be a dict'),
    ('env_cfg.cudnn_benchmrk', (True, ), "nothing reads a setting 'cudnn_benchmrk', nearest: cudnn_benchmark"),
    ('auto_scale_lr.enabel', (True, ), "nothing reads a setting 'enabel', nearest: enable"),
    ('auto_scale_lr.base_batch_size', (0, 'abc'), 'base_batch_size has to be a positive number'),
    ('strategy', ({'type': 'DDPStrategy'}, ), "set runner_type='FlexibleRunner', or leave strategy out"),
    ('val_dataloader', (None, ), 'val_cfg and val_evaluator need val_dataloader'),
    ('val_cfg.max_nef', (3, ), "SampleValLoop takes no 'max_nef', nearest: max_nfe"),
    ('test_cfg', (None, ), 'test_dataloader and test_evaluator need test_cfg'),
    ('default_scope', ('mmmc', 3), "default_scope has to be that of a library that is installed, such as 'mmcm'"),
    ('compile', (3, 'foo'), 'compile has to be True, False or a dict'),
    ('class_names', (3, ), 'class_names has to be the name of a list'),
    ('load_from', (3, ), 'load_from has to be text'),
    ('model.ema_decays', (['abc'], [NAN], [[1]]), 'model.ema_decays has to be a list, each of it a number'),
    ('model.ema_decay', ([0.9], ), "ConsistencyModel takes no 'ema_decay', nearest: ema_decays"),
    ('model.denoiser', (3, None), 'model.denoiser has to be a dict'),
    ('model.denoiser.sigma_data', ('abc', NAN, None), 'model.denoiser.sigma_data has to be a number'),
    ('model.denoiser.backbon.dropout', (0.1, ), "KarrasDenoiser takes no 'backbon', nearest: backbone"),
    ('model.denoiser.backbone.dropout', ('abc', NAN), 'backbone.dropout has to be a number'),
    ('model.denoiser.backbone.image_size', ('abc', 7.5), 'backbone.image_size has to be an integer'),
    ('model.denoiser.backbone.num_classes', ('abc', ), 'backbone.num_classes has to be an integer or None'),
    ('model.denoiser.backbone.channel_mult', (('a', 'b'), ), 'channel_mult has to be a list, each of it an integer'),
    ('model.objective.curiculum', (3, ), "takes no 'curiculum', nearest: curriculum"),
    ('model.objective.curriculum.start_scales', ('abc', [1]), 'curriculum.start_scales has to be an integer'),
    ('model.objective.curriculum.strat_scales', (3, ), "takes no 'strat_scales', nearest: start_scales"),
]  # yapf: disable


@pytest.fixture(scope='module')
def ours():
    return read_config(CONFIG)


def changed(config, **changes):
    config = copy.deepcopy(config)
    config.merge_from_dict({name.replace('__', '.'): value for name, value in changes.items()})
    return config


@pytest.mark.parametrize(
    'setting, values, words', REFUSED, ids=[f'{index}-{row[0]}' for index, row in enumerate(REFUSED)]
)
def test_setting_that_cannot_be_used_is_told(ours, setting, values, words):
    for value in values:
        with pytest.raises(InputError, match=re.escape(words)):
            check_settings(changed(ours, **{setting: value}), TEST if setting.startswith('test_cfg.') else TRAINING)


@pytest.mark.parametrize('path', list_configs(), ids=lambda path: path.stem)
def test_our_configs_are_in_order(path):
    config = read_config(path)
    for parts in (TRAINING, TEST):
        check_settings(config, parts)


@pytest.mark.parametrize('changes', [
    dict(default_hooks__sample_grid__interval=-1), dict(default_hooks__checkpoint__interval=1e4),
    dict(optim_wrapper__optimizer__lr=0), dict(optim_wrapper__clip_grad=dict(max_norm=INF)),
    dict(optim_wrapper__clip_grad=dict(type='value', clip_value=1)), dict(randomness__seed=None), dict(compile=True),
    dict(default_hooks__mine=dict(type='IterTimerHook', priority='LOW')), dict(param_scheduler=None),
    dict(default_hooks__logger=None, default_hooks__timer=dict()), dict(visualizer=None), dict(log_level='DEBUG'),
    dict(custom_hooks=[dict(type='EMAHook', momentum=0.1)]), dict(train_dataloader__batch_size=None),
    dict(train_dataloader__num_workers=2, train_dataloader__persistent_workers=True), dict(default_scope='mmengine'),
    dict(param_scheduler=[dict(type='LinearLR', start_factor=0.1, begin=0, end=5, convert_to_iter_based=True)]),
    dict(optim_wrapper__paramwise_cfg=dict(bias_lr_mult=2.0)), dict(optim_wrapper__type='AmpOptimWrapper'),
    dict(model__denoiser__backbone=dict(_delete_=True, type='torch.nn.Identity')),
    dict(model_wrapper_cfg=dict(type='MMDistributedDataParallel', broadcast_buffers=False)),
    dict(runner_type='FlexibleRunner', strategy=dict(type='FSDPStrategy'), resume='iter_3.pth'),
], ids=str)  # yapf: disable
def test_settings_that_work_stay(ours, changes):
    check_settings(changed(ours, **changes), TRAINING)


def test_names_of_another_scope_are_left_to_it(ours):
    config = changed(ours, default_scope='mmengine')
    config.train_cfg.type = 'LoopOfTheirs'
    check_settings(config, TRAINING)


def test_parts_of_a_training_do_not_matter_to_a_test(ours):
    config = changed(ours, train_cfg__max_iters=0, train_dataloader__foo=1)
    check_settings(config, TEST)
    with pytest.raises(InputError, match='test_dataloader: nothing reads'):
        check_settings(changed(ours, test_dataloader__foo=1), TEST)
