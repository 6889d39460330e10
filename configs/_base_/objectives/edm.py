# Training of a diffusion model (Karras et al., 2022), sampled by Heun's method.
method = dict(denoiser=dict(boundary=False), objective=dict(type='EDM'), sampler=dict(type='HeunSampler', num_steps=18))
