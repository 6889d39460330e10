# The schedule of EDM2 (Karras et al., 2024) for images of 512 x 512 pixels in latents.
_base_ = './edm2.py'
param_scheduler = dict(reference=70000)
