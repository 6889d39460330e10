# Pixel MeanFlow (Lu et al., 2026). The network takes the guidance and has a velocity head, both of which its base sets.
_base_ = './flow_map.py'
method = dict(denoiser=dict(_delete_=True, type='FlowMapDenoiser'), objective=dict(type='PixelMeanFlow'))
