"""Encoders of EDM2 (Karras et al., 2024, arXiv 2312.02696) as its snapshots describe them: of pixels or of latents."""

from typing import Any

from mmcm.checkpoints.snapshots.persistent_pickle import NumberArray, PersistentObject
from mmcm.checkpoints.trusted_config import shown
from mmcm.utils.errors import InputError

PIXELS, LATENTS = 'StandardRGBEncoder', 'StabilityVAEEncoder'
NAMES = {'stabilityai/sd-vae-ft-mse': 'sd-vae-ft-mse'}  # of autoencoders, on the hub and here
VALUE_RANGE = (0.0, 1.0)  # that EDM2 gives the autoencoder and expects of it, where others have -1 to 1


def autoencoder_config(encoder: Any) -> dict[str, Any] | None:
    """Return the config of the autoencoder that decodes what an encoder of EDM2 has made; None for pixels.

    The encoder makes z = scale E(x) + bias, with a value of both for each channel.

    Args:
        encoder (PersistentObject, optional): As in the snapshot.

    Raises:
        InputError: If there is no counterpart of it here.
    """
    if encoder is None or (isinstance(encoder, PersistentObject) and encoder.class_name == PIXELS):
        return None
    name = encoder.class_name if isinstance(encoder, PersistentObject) else type(encoder).__name__
    if name != LATENTS:
        raise InputError(
            f'its encoder is a {shown(name)}, and those of {PIXELS} and {LATENTS} have a counterpart here.'
        )
    vae, scale, bias = (encoder.state.get(key) for key in ('vae_name', 'scale', 'bias'))
    if not isinstance(vae, str) or vae not in NAMES:
        raise InputError(f'its latents are of the autoencoder {shown(vae)}, and {", ".join(NAMES)} is known here.')
    if not isinstance(scale, NumberArray) or not isinstance(bias, NumberArray) or 0 in scale.values:
        raise InputError(f'its {LATENTS} does not say scale and bias of the latents.')
    if len(scale.values) != len(bias.values):
        raise InputError(f'its {LATENTS} has {len(scale.values)} values of scale and {len(bias.values)} of bias.')
    pairs = list(zip(scale.values, bias.values))
    return dict(
        type='LatentAutoencoder',
        pretrained=NAMES[vae],
        mean=tuple(_digits(-offset / factor) for factor, offset in pairs),
        std=tuple(_digits(1 / factor) for factor, _ in pairs),
        value_range=VALUE_RANGE,
    )


def _digits(number: float) -> float:
    """Return `number` with the six digits that single precision holds."""
    return float(f'{number:.6g}')
