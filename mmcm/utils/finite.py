"""Checks that tensors are finite, with errors that say how to go on."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from mmcm.renamed import old_names
from mmcm.utils.errors import InputError, first_of

__getattr__ = old_names(__name__)
FULL = '--dtype bfloat16 or float32 (dtype= in Python)'
NOT_FINITE = 'have to be finite: there are NaN or infinite values among them'


class NotFiniteError(InputError):
    """The output of a network is NaN or infinite, so it is no image."""


def is_finite(values: Tensor, infinities: bool = False) -> bool:
    """Return whether all of `values` are finite (with `infinities`: not NaN), in one pass without copies."""
    if not values.is_floating_point() or values.is_meta or not values.numel():
        return True
    low, high = values.detach().aminmax()  # both are NaN if one value is
    return not bool(low.isnan()) if infinities else bool(low.isfinite() & high.isfinite())


def check_images(images: Tensor) -> Tensor:
    """Return `images` of a preview; raise a NotFiniteError if they contain NaN."""
    if images.isnan().any():
        raise NotFiniteError('the estimates of the network are not finite.')
    return images


def check_given(name: str, values: Tensor) -> None:
    """Raise an InputError if `values` of the user, called `name` in the message, are not finite."""
    if not is_finite(values):
        raise InputError(f'{name} {NOT_FINITE}.')


def in_dtype(weights: Mapping[str, Tensor], dtype: torch.dtype, kept: Collection[str] = ()) -> dict[str, Tensor]:
    """Return `weights` as `dtype`, but for those whose names are in `kept`.

    Raises:
        InputError: If some overflow. Weights that were not finite before are refused by the reader.
    """
    cast = {name: value if name in kept else value.to(dtype) for name, value in weights.items()}
    lost = [name for name, value in cast.items() if value.dtype != weights[name].dtype and not is_finite(value)]
    if lost:
        name = str(dtype).removeprefix('torch.')
        raise InputError(
            f'{len(lost)} of {len(cast)} weights are not finite in {name}, whose numbers end at '
            f'{torch.finfo(dtype).max:.3g}: {first_of(lost)}. Write another precision, {FULL}.'
        )
    return cast
