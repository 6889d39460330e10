"""Parts of MMagic in our configs, and ours in MMagic's."""

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmcm.datasets import DigitsDataset
from mmcm.mmagic import ConsistencyModel
from mmcm.registry import DATASETS
from support.digits import BACKBONE, model_config
from support.runs import config as our_config

VISUALIZATION = dict(interval=2, n_samples=4, n_row=2, fixed_input=True)
GAN = dict(type='GAN', name='drawn', target_keys='fake_img')
ASKED = dict(
    type='Arguments', name='threes', target_keys='fake_img', forward_kwargs=dict(labels=3, sample_model='orig')
)


@DATASETS.register_module()
class LargeDigits(DigitsDataset):
    """Digits of 32 x 32 pixels: MMagic's MS-SSIM halves images four times."""

    def __init__(self):
        super().__init__()
        self.parts = [self.images.repeat_interleave(4, 2).repeat_interleave(4, 3)]


LARGE = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, image_size=32))


@pytest.fixture(autouse=True)
def scope():
    """Leave the default scope as it was."""
    with DefaultScope.overwrite_default_scope('mmengine'):
        yield


def pictures(work_dir, name):
    return sorted(work_dir.rglob(f'{name}*.png'))


def test_mmagics_registry_builds_our_model():
    from mmagic.registry import MODELS

    with DefaultScope.overwrite_default_scope('mmagic'):
        model = MODELS.build(dict(model_config(), type='mmcm.ConsistencyModel'))
        legacy_name = MODELS.build(model_config())
    assert type(model) is type(legacy_name) is ConsistencyModel
    assert model(dict(num_batches=2, labels=3))[0].fake_img.shape == (3, 8, 8)


def test_hooks_metrics_and_visualizers_of_mmagic_in_our_config(tmp_path):
    config = our_config(
        tmp_path,
        custom_hooks=[dict(type='mmagic.VisualizationHook', vis_kwargs_list=[GAN, ASKED], **VISUALIZATION)],
        visualizer=dict(type='mmagic.Visualizer', vis_backends=[dict(type='mmagic.VisBackend')]),
        val_dataloader=dict(
            batch_size=4,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(type='SamplingRequests', num_samples=8, num_classes=10, labels='balanced'),
        ),
        val_cfg=dict(type='mmagic.MultiValLoop'),
        val_evaluator=dict(type='mmagic.Evaluator', metrics=[dict(type='mmagic.MS_SSIM', fake_nums=8, prefix='drawn')]),
    )
    config.model.denoiser = LARGE
    config.train_dataloader.dataset.type = 'LargeDigits'
    config.train_cfg.val_interval = 4
    runner = Runner.from_cfg(config)
    runner.train()
    assert type(runner.model).__module__.startswith('mmcm.')
    assert {type(hook).__module__.split('.')[0] for hook in runner.hooks} == {'mmcm', 'mmagic', 'mmengine'}
    assert len(pictures(tmp_path, 'drawn')) == 2 and len(pictures(tmp_path, 'threes')) == 2
    assert 0 <= runner.message_hub.get_scalar('val/drawn/avg').current() <= 1


def test_our_parts_in_a_config_of_mmagic(tmp_path):
    from mmagic.evaluation import Evaluator

    ours = our_config(tmp_path)
    config = Config(
        dict(
            default_scope='mmagic',
            work_dir=str(tmp_path),
            experiment_name=str(tmp_path).replace('/', '_'),
            model=dict(ours.model, type='mmcm.ConsistencyModel', denoiser=LARGE),
            train_dataloader=dict(ours.train_dataloader, dataset=dict(type='mmcm.LargeDigits')),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=4, val_interval=4),
            optim_wrapper=ours.optim_wrapper,
            val_dataloader=dict(
                batch_size=4,
                num_workers=0,
                sampler=dict(type='DefaultSampler', shuffle=False),
                dataset=dict(type='mmcm.SamplingRequests', num_samples=8, num_classes=10, labels='balanced'),
            ),
            val_cfg=dict(type='MultiValLoop'),
            val_evaluator=dict(type='Evaluator', metrics=[dict(type='MS_SSIM', fake_nums=8, prefix='drawn')]),
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=False),
                checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=4),
            ),
            custom_hooks=[
                dict(type='mmcm.StepSeedHook'),
                dict(type='mmcm.AveragesHook'),
                dict(type='VisualizationHook', vis_kwargs_list=ASKED, **VISUALIZATION),
            ],
            log_processor=dict(type='LogProcessor', by_epoch=False),
            visualizer=dict(type='Visualizer', vis_backends=[dict(type='VisBackend')]),
            randomness=dict(seed=0),
        )
    )
    runner = Runner.from_cfg(config)
    runner.train()
    assert isinstance(runner.model, ConsistencyModel) and isinstance(runner.val_evaluator, Evaluator)
    assert 0 <= runner.message_hub.get_scalar('val/drawn/avg').current() <= 1
    picture = cv2.imread(str(pictures(tmp_path, 'threes')[-1]))
    assert picture.shape[2] == 3 and picture.std() > 0


def test_same_training_whichever_scope_it_has(tmp_path):
    def weights(scope):
        config = our_config(tmp_path / scope)
        config.default_scope = scope
        config.model.type = 'mmcm.ConsistencyModel'
        config.train_dataloader.dataset.type = 'mmcm.DigitsDataset'
        for hook in ('step_seed', 'plain_log', 'averages'):
            config.default_hooks[hook].type = f'mmcm.{config.default_hooks[hook].type}'
        runner = Runner.from_cfg(config)
        runner.train()
        return runner.model.state_dict()

    ours, theirs = weights('mmcm'), weights('mmagic')
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
