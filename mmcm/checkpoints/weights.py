"""Choose the weights of a network in the content of a checkpoint, check them, and load them."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mmcm.checkpoints.formats.diffusers_folder import is_diffusers_folder, read_weights
from mmcm.checkpoints.formats.foreign_weights import choose_set, describe, find_sets, is_state_dict
from mmcm.checkpoints.formats.training_checkpoint import network_of_training, own_weights
from mmcm.checkpoints.read import read_checkpoint
from mmcm.renamed import moved_name
from mmcm.utils.errors import InputError, first_of
from mmcm.utils.finite import is_finite
from mmcm.utils.fixed_precision import float32_keys

DTYPES = frozenset(
    (
        *('float16', 'bfloat16', 'float32', 'float64'),
        *('float8_e4m3fn', 'float8_e5m2', 'float8_e4m3fnuz', 'float8_e5m2fnuz', 'float8_e8m0fnu'),
    )
)
COMPUTED = (torch.float32, torch.float16, torch.bfloat16)  # the precisions of networks; others become float32
FAMILIES = (  # a name that the networks of a family have, and what to do with their weights
    (
        r'down_blocks\.\d+\.resnets\..*',
        'the names are those of a UNet2DModel of diffusers: give its folder, with config.json, in place of the file',
    ),
    (
        r'(model\.|unet\.|ema\.)*enc\.\d+x\d+_(conv|block0|aux)\w*\..*',
        'the names are those of a network of EDM or EDM2: choose the config of that network, or name its snapshot '
        '(.pkl), which holds its settings',
    ),
    (
        r'(model\.)?downs\.\d+\.\d+\..*',
        'the names are those of denoising_diffusion_pytorch, whose network is none of this kind',
    ),
    (
        r'model\.diffusion_model\..*',
        'the names are those of a latent diffusion model, whose network is none of this kind',
    ),
)


class ChosenWeights(NamedTuple):
    """Weights of a network, one of the sets in a checkpoint.

    Attributes:
        weights (dict[str, Tensor]): By the names that the network has for them.
        average (str | None): Decay of the average, 'online' or a key; None where the checkpoint has one set alone.
    """

    weights: dict[str, Tensor]
    average: str | None


def chosen_weights(
    content: Any, path: str | Path, average: str | None = None, network: nn.Module | None = None, similar: bool = False
) -> ChosenWeights:
    """Return the weights of a network in the content of a checkpoint.

    Args:
        content (Any): Of the checkpoint.
        path (str | Path): What errors call the checkpoint.
        average (str, optional): Which of several sets of weights: the decay of an average ('0.999'), 'online', or, in a
            file of another program, the key that they are under. None takes the first average, or the online weights
            where there is none.
        network (nn.Module, optional): The network, by whose names the weights are found in other programs' files. Its
            `unused_weights`, beginnings of names, are left out.
        similar (bool): Whether the weights may be of another network: then those with most names in common are taken.

    Raises:
        InputError: If the checkpoint does not hold that average.
    """
    unused = tuple(getattr(network, 'unused_weights', ()))
    weights, used = _chosen_weights(content, path, average, network, similar, unused)
    return ChosenWeights({key: value for key, value in weights.items() if not key.startswith(unused)}, used)


def _chosen_weights(
    content: Any,
    path: str | Path,
    average: str | None,
    network: nn.Module | None,
    similar: bool,
    unused: tuple[str, ...],
) -> ChosenWeights:
    wanted = None if network is None else network.state_dict()
    if average is None and wanted is not None and is_state_dict(content) and content.keys() == wanted.keys():
        return ChosenWeights(dict(content), None)  # the weights alone, as releases have them
    own = own_weights(content)
    if own is not None:
        return ChosenWeights(*network_of_training(own, path, average))
    sets = find_sets(content, wanted, unused) or find_sets(content, None)
    if not sets:
        raise InputError(f'{path} holds no state dict but {describe(content)}.')
    if wanted is not None and not any(each.weights.keys() == wanted.keys() for each in sets):
        common = [len(network_weights(each.weights).keys() & wanted.keys()) for each in sets]
        if not similar:  # `check_weights` says how the nearest differ
            return ChosenWeights(network_weights(sets[common.index(max(common))].weights), None)
        sets = [each for each, number in zip(sets, common) if 2 * number >= max(common)]
    chosen = choose_set(sets, path, average)
    return ChosenWeights(network_weights(chosen.weights), chosen.place if len(sets) > 1 else None)


def read_backbone(path: str | Path, average: str | None = None, network: nn.Module | None = None) -> dict[str, Tensor]:
    """Return the weights of a network in a file or diffusers folder: `Checkpoint.open(path).weights(...)`.

    Raises:
        InputError: If the file cannot be read, or does not hold that average; see `chosen_weights`.
    """
    content = read_weights(path) if is_diffusers_folder(path) else read_checkpoint(path, mapped=True)
    return chosen_weights(content, path, average, network).weights


def network_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a network without the prefix 'backbone.', which a file may have before all of them."""
    prefix = 'backbone.' if all(key.startswith('backbone.') for key in weights) else ''
    return {key[len(prefix) :]: value for key, value in weights.items()}


def digest(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of names, dtypes, shapes and values, whatever the order and the file format."""
    sha = hashlib.sha256()
    for key in sorted(weights):
        value = weights[key].detach().cpu().contiguous()
        sha.update(f'{key} {value.dtype} {tuple(value.shape)}\n'.encode())
        sha.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], source: str | Path) -> None:
    """Load `weights` into `module`, or say how they differ from what it needs.

    Parameters on the meta device become the tensors of `weights`, as float32; others are filled in place.

    Raises:
        InputError: If a key is missing or not expected, or if a shape differs.
    """
    check_weights(module, weights, source)
    assign_weights(module, weights)


def assign_weights(module: nn.Module, weights: Mapping[str, Tensor], dtype: torch.dtype = torch.float32) -> None:
    """Load `weights`, which `check_weights` has passed, into `module`.

    On the meta device they become `dtype`, but for those of `float32_keys`.
    """
    on_meta = any(tensor.is_meta for tensor in module.state_dict().values())
    if on_meta:
        exact = float32_keys(module)
        weights = {
            key: value.to(torch.float32 if key in exact else dtype) if value.is_floating_point() else value
            for key, value in weights.items()
        }
    training = {key: parameter.requires_grad for key, parameter in module.named_parameters()}
    module.load_state_dict(weights, assign=on_meta)
    for key, parameter in module.named_parameters():
        parameter.requires_grad_(training[key])


def check_weights(module: nn.Module, weights: Mapping[str, Tensor], source: str | Path) -> None:
    """Raise an InputError unless `weights` are those of `module`: its names and shapes, of real numbers, all finite."""
    expected = module.state_dict()
    missing = [key for key in expected if key not in weights]
    unexpected = [key for key in weights if key not in expected]
    dtypes = [
        f'{key} is {dtype}'
        for key, tensor in expected.items()
        if key in weights and tensor.is_floating_point() and (dtype := _dtype(weights[key])) not in DTYPES
    ]
    problems = differences({key: tensor.shape for key, tensor in expected.items()}, weights)
    if dtypes:
        problems.append(f'{len(dtypes)} are quantised or no weights: {first_of(dtypes)}')
    if problems:
        advice = _advice(expected, weights, missing, unexpected) or 'Choose the config that belongs to the checkpoint.'
        raise InputError(
            f'{source} is not a checkpoint of this {type(module).__name__}: {"; ".join(problems)}. {advice}'
        )
    check_finite(weights, source, module)


def differences(expected: Mapping[str, torch.Size], weights: Mapping[str, Tensor]) -> list[str]:
    """Return how names and shapes of `weights` differ from `expected`, a text for each kind of problem."""
    shapes = [
        f'{key} {tuple(weights[key].shape)} instead of {tuple(shape)}'
        for key, shape in expected.items()
        if key in weights and weights[key].shape != shape
    ]
    problems = [
        ('keys are missing', [key for key in expected if key not in weights]),
        ('keys are not expected', [key for key in weights if key not in expected]),
        ('shapes differ', shapes),
    ]
    return [f'{len(found)} {what}: {first_of(found)}' for what, found in problems if found]


def check_numbers(weights: Mapping[str, Tensor], source: str | Path) -> None:
    """Raise an InputError unless `weights` of an unknown network are real numbers and finite.

    Scalars may be integers, such as the batch counts of normalisation layers.
    """
    found = [
        f'{key} is {dtype}' for key, value in weights.items() if value.ndim and (dtype := _dtype(value)) not in DTYPES
    ]
    if found:
        raise InputError(
            f'{source} holds no weights of a network but {len(found)} tensors that are quantised or no '
            f'weights: {first_of(found)}. Name a file of float32, float16 or bfloat16.'
        )
    check_finite(weights, source)


def check_finite(weights: Mapping[str, Tensor], source: str | Path, module: nn.Module | None = None) -> None:
    """Raise an InputError if any of `weights` has NaN or infinite values; its name is in the message.

    Buffers of `module` may have infinities, as masks of attention do.
    """
    buffers = set() if module is None else {key for key, _ in module.named_buffers()}
    found = [key for key, value in weights.items() if not is_finite(_as_used(value), infinities=key in buffers)]
    if found:
        value = weights[found[0]].float()
        count = int(value.numel() - value.isfinite().sum())
        raise InputError(
            f'{source} has NaN or infinite values in {len(found)} of its {len(weights)} tensors: '
            f'{first_of(found)} ({count} of {value.numel()} values in the first). The training that wrote '
            'it has diverged, or the file is damaged: choose an earlier checkpoint, or other weights in '
            'it (--ema).'
        )


def _as_used(value: Tensor) -> Tensor:
    """Return a tensor in a precision that networks compute in."""
    return value if value.dtype in COMPUTED or not value.is_floating_point() else value.float()


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix('torch.')


def _advice(
    expected: Mapping[str, Tensor], weights: Mapping[str, Tensor], missing: list[str], unexpected: list[str]
) -> str | None:
    """Return advice on weights that do not fit a network, by their names; None if the names do not tell."""
    for pattern, advice in FAMILIES:
        if any(re.fullmatch(pattern, key) for key in unexpected):
            return f'{advice[0].upper()}{advice[1:]}.'
    for prefix in _prefixes(expected, unexpected):
        behind = [key for key in expected if prefix + key in weights]
        if len(behind) > len(expected) // 2:
            return (
                f'{len(behind)} of its {len(expected)} names are there behind the prefix {prefix!r}: save those '
                'weights without it, and all of them, or choose the config that belongs to the checkpoint.'
            )
    last = next((key for key in expected if key.endswith('out.2.weight') and key in weights), None)
    if last and not missing and not unexpected and len(weights[last]) == 2 * len(expected[last]):
        return (
            'It has twice the channels at its end: a network of guided diffusion (eps and its variance), which is '
            'no denoiser of this kind.'
        )
    return None


def _prefixes(expected: Mapping[str, Tensor], unexpected: list[str]) -> Iterator[str]:
    longest = max(expected, key=len, default='')
    for key in unexpected:
        if key.endswith(f'.{longest}'):
            yield key[: -len(longest)]


def __getattr__(name: str) -> object:
    return moved_name(__name__, name)
