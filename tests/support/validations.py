"""Short runs that validate."""

from support.runs import config


def validated_config(work_dir, iterations=4, interval=2, **changes):
    """A short run of the digits that validates on 20 images against those that it holds out."""
    cfg = config(work_dir, iterations, **changes)
    cfg.model.denoiser.backbone.dropout = 0.1  # which draws random numbers
    cfg.train_cfg.val_interval = interval
    cfg.train_dataloader.dataset.split = 'train'
    cfg.default_hooks.checkpoint = dict(
        type='WholeCheckpointHook', by_epoch=False, interval=2, save_best='auto', max_keep_ckpts=3
    )
    cfg.default_hooks.validation = dict(type='ValidationHook')
    cfg.val_dataloader = dict(
        batch_size=8,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        batch_sampler=dict(type='WholeBatches'),
        dataset=dict(type='SamplingRequests', num_samples=20),
    )
    cfg.val_evaluator = dict(
        type='ImageEvaluator', reference='held_out', metrics=[dict(type='SlicedWasserstein', num_projections=16)]
    )
    cfg.val_cfg = dict(type='SampleValLoop')
    return cfg


def without_validation(cfg):
    """Return the config `cfg` without its validation."""
    for name in ('val_cfg', 'val_dataloader', 'val_evaluator'):
        cfg.pop(name)
    return cfg
