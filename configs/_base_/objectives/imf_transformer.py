# Improved MeanFlow (Geng et al., 2025). The network takes the guidance and has a velocity head, both of which its base
# sets.
_base_ = './imf.py'
method = dict(denoiser=dict(_delete_=True, type='FlowMapDenoiser'))
