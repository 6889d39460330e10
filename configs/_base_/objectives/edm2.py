# Training of a diffusion model as in EDM2 (Karras et al., 2024): the network learns how much each level counts.
_base_ = './edm.py'
method = dict(objective=dict(uncertainty=True))
