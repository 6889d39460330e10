# Adam as in EDM2 (Karras et al., 2024): the learning rate rises during the first 10 million images, of 2048 in a step,
# and falls with the square root of the step. A recipe sets the largest one by the width of the network.
_base_ = './adam_inverse_sqrt.py'
param_scheduler = dict(reference=35000, rampup=10_000_000 / 2048)
