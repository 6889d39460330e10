"""Known autoencoders of latent diffusion models: the addresses of their folders in the format of diffusers."""

# The autoencoder of Stable Diffusion, tuned further for the squared error; Stability AI, MIT License.
AUTOENCODERS = {'sd-vae-ft-mse': 'https://huggingface.co/stabilityai/sd-vae-ft-mse/resolve/main'}
