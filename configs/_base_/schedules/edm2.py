# Adam as in EDM2 (Karras et al., 2024): the learning rate rises during the first 10 million images, and falls with the
# square root of the step. Weights of a constant size need none of its decay of weights, and larger learning rates.
_base_ = './adam_inverse_sqrt.py'
batch_size, rampup_images = 2048, 10_000_000
optim_wrapper = dict(optimizer=dict(lr=1e-2))
param_scheduler = dict(reference=35000, rampup=rampup_images / batch_size)
auto_scale_lr = dict(base_batch_size=batch_size)
