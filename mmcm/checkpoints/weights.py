"""Choose the weights of a network in the content of a checkpoint, and load them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mmcm.checkpoints.formats.diffusers_folder import is_diffusers_folder, read_weights
from mmcm.checkpoints.formats.foreign_weights import choose_set, describe, find_sets
from mmcm.checkpoints.formats.training_checkpoint import network_of_training, own_weights
from mmcm.checkpoints.read import read_checkpoint
from mmcm.checkpoints.weight_checks import check_weights
from mmcm.renamed import moved_name
from mmcm.utils.errors import InputError


class ChosenWeights(NamedTuple):
    """Weights of a network, one of the sets in a checkpoint.

    Attributes:
        weights (dict[str, Tensor]): By the names that the network has for them.
        average (str | None): Decay of the average, 'online' or a key; None where the checkpoint has one set alone.
    """

    weights: dict[str, Tensor]
    average: str | None


def chosen_weights(
    content: Any, path: str | Path, average: str | None = None, network: nn.Module | None = None
) -> ChosenWeights:
    """Return the weights of a network in the content of a checkpoint.

    Args:
        content (Any): Of the checkpoint.
        path (str | Path): What errors call the checkpoint.
        average (str, optional): Which of several sets of weights: the decay of an average ('0.999'), 'online', or, in a
            file of another program, the key that they are under. None takes the first average, or the online weights
            where there is none.
        network (nn.Module, optional): The network, by whose names the weights are found in other programs' files.

    Raises:
        InputError: If the checkpoint does not hold that average.
    """
    own = own_weights(content)
    if own is not None:
        return ChosenWeights(*network_of_training(own, path, average))
    wanted = None if network is None else network.state_dict()
    sets = find_sets(content, wanted) or find_sets(content, None)
    if not sets:
        raise InputError(f'{path} holds no state dict but {describe(content)}.')
    if wanted is not None and not any(each.weights.keys() == wanted.keys() for each in sets):
        nearest = max(sets, key=lambda each: len(each.weights.keys() & wanted.keys()))
        return ChosenWeights(network_weights(nearest.weights), None)  # `check_weights` says how they differ
    chosen = choose_set(sets, path, average)
    return ChosenWeights(network_weights(chosen.weights), chosen.place if len(sets) > 1 else None)


def similar_weights(content: Any, path: str | Path, network: nn.Module, average: str | None = None) -> ChosenWeights:
    """Return the weights of the network in a checkpoint that has most names in common with `network`.

    Unlike `chosen_weights`, it chooses among several sets of weights also where none of them fits.

    Args:
        content (Any): Of the checkpoint.
        path (str | Path): What errors call the checkpoint.
        network (nn.Module): The network, which may have other classes, another depth or other shapes.
        average (str, optional): Which of several sets; see `chosen_weights`.

    Raises:
        InputError: If the checkpoint has no weights, or does not hold that average.
    """
    wanted = network.state_dict()
    if own_weights(content) is not None or find_sets(content, wanted):
        return chosen_weights(content, path, average, network)
    sets = find_sets(content, None)
    if not sets:
        raise InputError(f'{path} holds no state dict but {describe(content)}.')
    common = [len(network_weights(each.weights).keys() & wanted.keys()) for each in sets]
    similar = [each for each, number in zip(sets, common) if 2 * number >= max(common)]
    chosen = choose_set(similar, path, average)
    return ChosenWeights(network_weights(chosen.weights), chosen.place if len(similar) > 1 else None)


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


def assign_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load `weights`, which `check_weights` has passed, into `module`; see `load_weights`."""
    on_meta = any(tensor.is_meta for tensor in module.state_dict().values())
    if on_meta:
        weights = {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}
    training = {key: parameter.requires_grad for key, parameter in module.named_parameters()}
    module.load_state_dict(weights, assign=on_meta)
    for key, parameter in module.named_parameters():
        parameter.requires_grad_(training[key])


def __getattr__(name: str) -> object:
    return moved_name(__name__, name)
