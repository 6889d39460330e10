# Autoguidance (Karras et al., 2024, arXiv 2406.02507): EDM2-S away from EDM2-XS after an eighth of its training.
_base_ = './edm2-s_32xb64_imagenet1k-64x64.py'
model = dict(
    guidance=dict(
        scale=1.7,
        checkpoint='work_dirs/edm2-xs_32xb64_imagenet1k-64x64/iter_65536.pth',
        average='sigma_rel=0.1',
        denoiser=dict(backbone=dict(base_channels=128)),
    )
)
