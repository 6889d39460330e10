# Easy consistency tuning on ImageNet at 64 x 64 pixels, as in the authors' code (branch imgnet).
_base_ = './ect.py'
method = dict(
    denoiser=dict(backbone=dict(dropout=0.4, dropout_resolution=16)),
    objective=dict(
        curriculum=dict(q=4.0, ratio_limit=0.9961),
        distance=dict(type='PseudoHuber', factor=0.06 / (3 * 64 * 64) ** 0.5),  # c = 0.06, as it is published
        levels=dict(type='LognormalLevels', mean=-0.8, std=1.6),
        weighting=dict(type='KarrasWeighting'),
    ),
)
