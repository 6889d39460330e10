"""The weights of a network, from any of the files that hold them."""
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, Union

import torch
from torch import Tensor, nn

from mmcm.interop import is_diffusers_folder, read_weights
from mmcm.utils.checkpoint_files import read_checkpoint
from mmcm.utils.errors import InputError

ONLINE = 'online'  # names the trained weights themselves where the name of an average is asked for


def average_name(decay: float) -> str:
    """Return the name of the average with `decay` among the modules of a model, which may not contain a dot."""
    return repr(float(decay)).replace('.', '_')


def read_backbone(path: Union[str, Path], average: Optional[str] = None) -> dict[str, Tensor]:
    """Return the weights of a network, under the names that the network itself has for them.

    Args:
        path (str | Path): A released file, one written by `mmcm publish`, a training checkpoint, or a
            diffusers folder.
        average (str, optional): Which weights of a training checkpoint: the decay of an average ('0.999'), or
            'online'. None takes the first average, or the online weights where there is none.

    Raises:
        InputError: If the file cannot be read, or does not hold that average.
    """
    weights = read_weights(path) if is_diffusers_folder(path) else read_state_dict(path)
    averages = kept_averages(weights)
    if not any(key.startswith('denoiser.backbone.') for key in weights):
        if average is not None:
            raise InputError(f'{path} holds one set of weights and no averages: leave out the choice of {average!r}.')
        return network_weights(weights)
    if average is None:
        name = averages[0] if averages else ONLINE
    else:
        name = average_name(average) if _is_number(average) else average
    if name != ONLINE and name not in averages:
        choices = [ONLINE, *(name.replace('_', '.') for name in averages)]
        raise InputError(f'{path} has no average {average!r}; it has {", ".join(choices)}.')
    prefix = 'denoiser.backbone.' if name == ONLINE else f'emas.{name}.backbone.'
    return {key[len(prefix):]: value for key, value in weights.items() if key.startswith(prefix)}


def network_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a network without the prefix 'backbone.', which a file may have before all of them."""
    prefix = 'backbone.' if all(key.startswith('backbone.') for key in weights) else ''
    return {key[len(prefix):]: value for key, value in weights.items()}


def read_state_dict(path: Union[str, Path]) -> Mapping[str, Tensor]:
    """Return the weights in a file, which may have them under the key 'state_dict'. They are read when they are used.

    Raises:
        InputError: If the file cannot be read, or holds something else.
    """
    content = read_checkpoint(path, mapped=True)
    weights = content.get('state_dict', content) if isinstance(content, Mapping) else content
    if not is_state_dict(weights):
        raise InputError(f'{path} holds no state dict but {_shorten(content)}.')
    return weights


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
    return isinstance(content, Mapping) and len(content) > 0 and all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items())


def check_weights(module: nn.Module, weights: Mapping[str, Tensor], source: Union[str, Path]) -> None:
    """Raise an InputError if a key of `weights` is missing or not expected by `module`, or if a shape differs."""
    expected = module.state_dict()
    missing = [key for key in expected if key not in weights]
    unexpected = [key for key in weights if key not in expected]
    shapes = [
        f'{key} {tuple(weights[key].shape)} instead of {tuple(tensor.shape)}' for key, tensor in expected.items()
        if key in weights and weights[key].shape != tensor.shape
    ]
    if missing or unexpected or shapes:
        problems = [
            f'{len(found)} {what}: {", ".join(found[:3])}{", ..." if len(found) > 3 else ""}'
            for found, what in ((missing, 'keys are missing'), (unexpected, 'keys are not expected'),
                                (shapes, 'shapes differ')) if found
        ]
        raise InputError(f'{source} is not a checkpoint of this {type(module).__name__}: {"; ".join(problems)}. '
                         'Choose the config that belongs to the checkpoint.')


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], source: Union[str, Path]) -> None:
    """Load `weights` into `module`, or say how they differ from what it needs.

    Parameters on the meta device become the tensors of `weights`, as float32; others are filled in place.

    Raises:
        InputError: If a key is missing or not expected, or if a shape differs.
    """
    check_weights(module, weights, source)
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


def _shorten(content: Any) -> str:
    return f'the keys {list(content)[:4]}' if isinstance(content, Mapping) else f'a {type(content).__name__}'
