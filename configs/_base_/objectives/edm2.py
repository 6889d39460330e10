# Training of a diffusion model as in EDM2 (Karras et al., 2024): the network learns how much each level counts. The
# levels are those for ImageNet at 64 x 64 pixels.
_base_ = './edm.py'
method = dict(objective=dict(uncertainty=True, levels=dict(type='LognormalLevels', mean=-0.8, std=1.6)))
