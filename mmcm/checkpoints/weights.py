"""The weights of a network, from any of the files that hold them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmcm.checkpoints.formats.diffusers_folder import is_diffusers_folder, read_weights
from mmcm.checkpoints.formats.foreign_weights import ONLINE, choose_set, describe, find_sets, unwrapped_names
from mmcm.checkpoints.read import read_checkpoint
from mmcm.checkpoints.weight_checks import check_weights
from mmcm.utils.errors import InputError


def average_name(decay: float) -> str:
    """Return the name of the average with `decay` among the modules of a model, which may not contain a dot."""
    return repr(float(decay)).replace('.', '_')


def read_backbone(path: str | Path, average: str | None = None, network: nn.Module | None = None) -> dict[str, Tensor]:
    """Return the weights of a network, under the names that the network itself has for them.

    Args:
        path (str | Path): A released file, one written by `mmcm publish`, a training checkpoint, a diffusers folder,
            or the checkpoint of another program; see `foreign_weights`.
        average (str, optional): Which weights of a checkpoint that has several: the decay of an average ('0.999'),
            'online', or, of another program's, the key that they are under. None takes the first average, or the
            online weights where there is none.
        network (nn.Module, optional): The network, by whose names the weights are found in other programs' files.

    Raises:
        InputError: If the file cannot be read, or does not hold that average.
    """
    return chosen_weights(read_content(path), path, average, network)[0]


def chosen_weights(
    content: Any, path: str | Path, average: str | None = None, network: nn.Module | None = None
) -> tuple[dict[str, Tensor], str | None]:
    """Return the weights of a network in the content of a checkpoint, and which of several sets they are.

    The latter is the decay of an average, 'online' or a key, and None where the checkpoint has one set alone. The
    arguments are those of `read_backbone`.
    """
    own = own_weights(content)
    if own is None:
        wanted = None if network is None else network.state_dict()
        sets = find_sets(content, wanted) or find_sets(content, None)
        if not sets:
            raise InputError(f'{path} holds no state dict but {describe(content)}.')
        if wanted is not None and not any(each.weights.keys() == wanted.keys() for each in sets):
            nearest = max(sets, key=lambda each: len(each.weights.keys() & wanted.keys()))
            return network_weights(nearest.weights), None  # `check_weights` says how they differ
        chosen = choose_set(sets, path, average)
        return network_weights(chosen.weights), chosen.place if len(sets) > 1 else None
    averages = kept_averages(own)
    if average is None:
        name = averages[0] if averages else ONLINE
    else:
        name = average_name(average) if _is_number(average) else average
    if name != ONLINE and name not in averages:
        choices = [ONLINE, *(name.replace('_', '.') for name in averages)]
        raise InputError(f'{path} has no average {average!r}; it has {", ".join(choices)}.')
    prefix = 'denoiser.backbone.' if name == ONLINE else f'emas.{name}.backbone.'
    return {key[len(prefix) :]: value for key, value in own.items() if key.startswith(prefix)}, name.replace('_', '.')


def read_content(path: str | Path) -> Any:
    """Return what a checkpoint or a diffusers folder holds, with weights that are read when they are used."""
    return read_weights(path) if is_diffusers_folder(path) else read_checkpoint(path, mapped=True)


def own_weights(content: Any) -> dict[str, Tensor] | None:
    """Return the weights of a training checkpoint of ours, None if it is another one.

    The names that wrappers put in front (`module.`) and between (`_orig_mod.`) are taken off.
    """
    weights = content.get('state_dict', content) if isinstance(content, Mapping) else None
    if not is_state_dict(weights):
        return None
    weights = unwrapped_names(weights)
    return weights if any(key.startswith('denoiser.backbone.') for key in weights) else None


def network_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a network without the prefix 'backbone.', which a file may have before all of them."""
    prefix = 'backbone.' if all(key.startswith('backbone.') for key in weights) else ''
    return {key[len(prefix) :]: value for key, value in weights.items()}


def read_state_dict(path: str | Path) -> Mapping[str, Tensor]:
    """Return the weights in a file, which may have them under the key 'state_dict'. They are read when they are used.

    Raises:
        InputError: If the file cannot be read, or holds something else.
    """
    content = read_checkpoint(path, mapped=True)
    weights = content.get('state_dict', content) if isinstance(content, Mapping) else content
    if not is_state_dict(weights):
        raise InputError(f'{path} holds no state dict but {describe(content)}.')
    return unwrapped_names(weights)


def check_holds_weights(path: str | Path) -> None:
    """Raise an InputError, which says what a file is, unless it holds weights of some network."""
    content = read_content(path)
    if own_weights(content) is None and not find_sets(content, None):
        raise InputError(f'{path} holds no state dict but {describe(content)}.')


def kept_averages(weights: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the averages in the weights of a training checkpoint, the one that draws first."""
    return list(dict.fromkeys(key.split('.')[1] for key in weights if key.startswith('emas.')))


def digest(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, dtypes, shapes and values, whatever the order and the file format."""
    sha = hashlib.sha256()
    for key in sorted(weights):
        value = weights[key].detach().cpu().contiguous()
        sha.update(f'{key} {value.dtype} {tuple(value.shape)}\n'.encode())
        sha.update(value.reshape(-1).view(torch.uint8).numpy())
    return sha.hexdigest()


def is_state_dict(content: Any) -> bool:
    """Return whether `content` is a mapping of names to tensors, and not an empty one."""
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items())
    )


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], source: str | Path) -> None:
    """Load `weights` into `module`, or say how they differ from what it needs.

    Parameters on the meta device become the tensors of `weights`, as float32; others are filled in place.

    Raises:
        InputError: If a key is missing or not expected, or if a shape differs.
    """
    check_weights(module, weights, source)
    assign_weights(module, weights)


def assign_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load `weights`, which `check_weights` has passed, into `module`; see `load_weights`."""
    on_meta = any(tensor.is_meta for tensor in module.state_dict().values())
    if on_meta:
        weights = {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}
    training = {key: parameter.requires_grad for key, parameter in module.named_parameters()}
    module.load_state_dict(weights, assign=on_meta)
    for key, parameter in module.named_parameters():
        parameter.requires_grad_(training[key])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
