# Truncated consistency models on ImageNet at 64 x 64 pixels, from ect_imagenet1k-64x64.py.
_base_ = './tcm.py'
method = dict(
    denoiser=dict(backbone=dict(dropout=0.4, dropout_resolution=16)),
    objective=dict(
        # The schedule of the first stage goes on; the limit of r / t is reached, so that the ratio stays constant.
        curriculum=dict(stage_length=10000, q=4.0, ratio_limit=0.9961, first_stage=4),
        distance=dict(type='PseudoHuber', factor=0.06 / (3 * 64 * 64) ** 0.5),  # c = 0.06, as it is published
        weighting=dict(type='KarrasWeighting'),
    ),
)
