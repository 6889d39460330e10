# ADM's network for own images. `mmcm new` chooses image size, width, levels and classes for a config of its own.
model = dict(
    type='ConsistencyModel',
    denoiser=dict(type='KarrasDenoiser', backbone=dict(type='ADMUNet', scale_shift_norm=True, resblock_updown=True)),
)
