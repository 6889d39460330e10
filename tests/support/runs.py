"""Short runs of MMEngine's runner on the digits, for tests of what happens around the optimiser's step."""

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from support.digits import model_config, objective_config


def config(work_dir, iterations=4, **changes):
    hooks = dict(
        logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=False),
        checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=iterations),
        step_seed=dict(type='StepSeedHook'),
        plain_log=dict(type='PlainLogHook'),  # whose checkpoints older versions of torch read, too
        averages=dict(type='AveragesHook'),
    )
    return Config(
        dict(
            default_scope='mmcm',
            work_dir=str(work_dir),
            experiment_name=str(work_dir).replace('/', '_'),
            model=model_config(objective=objective_config(), ema_decays=(0.5,)),
            train_dataloader=dict(
                batch_size=8,
                num_workers=0,
                sampler=dict(type='InfiniteSampler', shuffle=True),
                collate_fn=dict(type='mmcm.stack_samples'),
                dataset=dict(type='DigitsDataset'),
            ),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=iterations),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)),
            log_processor=dict(type='LogProcessor', by_epoch=False),
            default_hooks=hooks,
            randomness=dict(seed=0),
            **changes,
        )
    )


class Watch(Hook):
    """Note the step, the weights and the average after each iteration."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.steps, self.online, self.average, self.random = [], [], [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.steps.append(runner.model.step)
        self.online.append(runner.model.denoiser.backbone.out[2].bias.item())
        self.average.append(runner.model.emas['0_5'].backbone.out[2].bias.item())
        self.random.append(torch.rand(1).item())


def watched(cfg):
    watch = Watch()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(watch)
    runner.train()
    return watch
