# What all objectives of flow maps ask of the network: the second time as a condition, and a sampler of two times.
method = dict(
    denoiser=dict(type='FlowMapDenoiser', backbone=dict(num_conditions=1)),
    sampler=dict(type='FlowMapSampler', num_steps=1),
)
