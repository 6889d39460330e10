"""Fit the weights of a network to another one: other image size, depth, classes or colour.

What has the same place and shape is taken. Weights at the ends of the network are adapted such that its response is
kept; everything else keeps its initial values.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import Tensor, nn

from mmcm.backbones.adm_layout import ADMLayout
from mmcm.checkpoints.weights import check_numbers
from mmcm.utils.errors import InputError, first_of

LEAST = 0.1  # share of the network's weights that a checkpoint has to fill
CLASSES, TIME_BIAS, FIRST, LAST = 'label_emb.weight', 'time_embed.2.bias', 'input_blocks.0.0.weight', 'out.2.'
BLOCK = re.compile(r'((?:input|output)_blocks)\.(\d+)\..*')


@dataclass
class PartialLoad:
    """What a network has taken from a checkpoint, and what not.

    Attributes:
        source (str): The checkpoint.
        same (dict[str, str]): For each key that was taken unchanged, its key in the checkpoint.
        adapted (dict[str, str]): For each key that was changed on the way, how.
        new (dict[str, str]): For each key that keeps its initial values, the reason.
        unused (list[str]): Keys of the checkpoint that have no place in the network.
        num_loaded (int): Numbers in `same` and `adapted`.
        num_weights (int): Numbers in the network.
    """

    source: str
    same: dict[str, str] = field(default_factory=dict)
    adapted: dict[str, str] = field(default_factory=dict)
    new: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    num_loaded: int = 0
    num_weights: int = 0

    @property
    def ratio(self) -> float:
        """Share of the network's weights that come from the checkpoint."""
        return self.num_loaded / max(self.num_weights, 1)

    def __str__(self) -> str:
        shapes = {key: reason for key, reason in self.new.items() if reason}
        absent = [key for key, reason in self.new.items() if not reason]
        parts = [f'{self.source}: {self.ratio:.1%} of the weights are loaded, {len(self.same)} tensors as they are']
        if self.adapted:
            parts.append('adapted: ' + ', '.join(f'{key} ({how})' for key, how in self.adapted.items()))
        if shapes:
            example = next(iter(shapes))
            parts.append(f'not loaded, of another shape: {grouped(shapes)}, such as {example} {shapes[example]}')
        if absent:
            parts.append(f'not loaded, not in the checkpoint: {grouped(absent)}')
        if self.unused:
            parts.append(f'not used of the checkpoint: {grouped(self.unused)}')
        return '; '.join(parts)


def load_partial(
    network: nn.Module,
    weights: Mapping[str, Tensor],
    source: str,
    rows: Sequence[int | None] = (),
    rule: str = '',
    null_row: bool = False,
) -> PartialLoad:
    """Load what fits of `weights` into `network`, in place.

    Args:
        network (nn.Module): The network. Where it or the checkpoint is no ADMUNet, weights of the same name and shape
            are loaded, and nothing is adapted.
        weights (Mapping[str, Tensor]): Weights of the other network, by its names.
        source (str): What messages call the checkpoint.
        rows (Sequence[int | None]): For each class of `network`, the row of the other network's class embedding that
            it starts from; None for a new class. Not needed unless both have classes.
        rule (str): How `rows` were chosen, for the report.
        null_row (bool): Whether the last row of the other network's class embedding is its null class.

    Returns:
        PartialLoad: What was loaded, and what not.

    Raises:
        InputError: If the checkpoint has numbers that are not finite, or fills less than a tenth of the network.
    """
    own = network.state_dict()
    origin = origins(own, weights)
    placed = {*origin.values(), *({CLASSES} & weights.keys())}
    check_numbers({key: weights[key] for key in weights if key in placed}, source)
    is_adm = all(ADMLayout.of(keys) is not None for keys in (own, weights))
    report = PartialLoad(source, num_weights=sum(value.numel() for value in own.values()))
    loaded: dict[str, Tensor] = {}
    for key, value in own.items():
        found = weights.get(origin.get(key, ''))
        if is_adm:
            taken, how = fitted(key, value, found, weights, CLASSES not in own, rows, rule, null_row)
        else:
            taken, how = found if found is not None and found.shape == value.shape else None, ''
        if taken is None:
            shapes = '' if found is None else f'{tuple(found.shape)} instead of {tuple(value.shape)}'
            report.new[key] = shapes
            continue
        loaded[key] = taken
        report.num_loaded += value.numel()
        if how:
            report.adapted[key] = how
        else:
            report.same[key] = origin[key]
    used = {origin[key] for key in loaded if key in origin}
    used |= {CLASSES} if TIME_BIAS in report.adapted else set()
    differing = {origin[key] for key, reason in report.new.items() if reason}
    report.unused = [key for key in weights if key not in used | differing]
    if report.ratio < LEAST:
        raise InputError(
            f'hardly anything of {source} fits the {type(network).__name__} of the config: {report.ratio:.1%} of its '
            f'weights, and at least {LEAST:.0%} are needed to start from a checkpoint. It has {first_of(weights)}; '
            f'{str(report).partition("; ")[2]}. Choose base_channels, channel_mult and num_res_blocks as in the '
            'checkpoint, or another checkpoint.'
        )
    with torch.no_grad():
        for key, value in loaded.items():
            own[key].copy_(value)
    return report


def origins(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Return, for each key of a network, the key at the same place of another one.

    Levels are counted from the coarsest, since levels are added at the fine end where images become larger (Dhariwal &
    Nichol, 2021, Table 4: (1, 2, 3, 4) at 64 pixels, (1, 1, 2, 3, 4) at 128). Between networks of different depth they
    are shifted where more weights have the same shape then.
    """
    ours, theirs = ADMLayout.of(own), ADMLayout.of(weights)
    if ours is None or theirs is None:
        return {key: key for key in own if key in weights}
    deeper = ours.num_levels - theirs.num_levels
    there = theirs.by_place()
    best: tuple[int, dict[str, str]] = -1, {}
    for distance in range(abs(deeper) + 1):
        shift = distance if deeper >= 0 else -distance
        pairs = {key: there[place] for place, key in ours.by_place(shift).items() if place in there}
        fitting = sum(own[key].numel() for key, other in pairs.items() if own[key].shape == weights[other].shape)
        if fitting > best[0]:
            best = fitting, pairs
    return best[1]


def fitted(
    key: str,
    value: Tensor,
    found: Tensor | None,
    weights: Mapping[str, Tensor],
    without_classes: bool,
    rows: Sequence[int | None],
    rule: str,
    null_row: bool,
) -> tuple[Tensor | None, str]:
    """Return what the weight `key` of an ADMUNet starts from, None for its initial values; and how it was adapted."""
    if key == CLASSES:
        return adapted_classes(value, found, rows, rule, null_row)
    shape = value.shape
    if found is None:
        return None, ''
    if found.shape == shape:
        if key == TIME_BIAS and without_classes and CLASSES in weights:
            # The embeddings of noise level and class are added: without classes, the null class or their mean stays.
            classes = weights[CLASSES].float()
            if null_row:
                return found.float() + classes[-1], 'plus the null class'
            return found.float() + classes.mean(0), f'plus the mean of {len(classes)} classes'
        return found, ''
    if key == FIRST:
        return adapted_first(found, shape)
    return adapted_last(found, shape) if key.startswith(LAST) else (None, '')


def adapted_classes(
    value: Tensor, found: Tensor | None, rows: Sequence[int | None], rule: str, null_row: bool
) -> tuple[Tensor | None, str]:
    """Return the class embedding for a network with classes, and how it was made.

    A new class starts at the mean of all rows, plus its initial row (standard normal) times the standard deviation of
    the rows: new classes that all started at the mean itself would take long to part. The null class of a network with
    one more row starts at that of the checkpoint, or at the mean. From an unconditional network the embedding is 0, so
    that each class starts as that network.
    """
    if found is None:
        return torch.zeros_like(value), 'zeros, as the checkpoint has no classes'
    if found.shape[1:] != value.shape[1:]:
        return None, ''
    classes = found[:-1] if null_row else found
    if list(rows) == list(range(len(classes))) and len(value) == len(found):
        return found, ''
    deviation, mean = torch.std_mean(classes.float(), 0, correction=0)
    embedding = [
        mean + deviation * value[index].to(mean) if row is None else classes[row].float()
        for index, row in enumerate(rows)
    ]
    if len(value) > len(rows):
        embedding.append(found[-1].float() if null_row else mean)
    new = sum(row is None for row in rows)
    return torch.stack(embedding), f'{len(rows) - new} classes {rule}, {new} new ones around the mean of {len(classes)}'


def adapted_first(found: Tensor, shape: torch.Size) -> tuple[Tensor | None, str]:
    """Return the first convolution (C_out, C_in, k, k) for grey images from that for colour, or the reverse.

    Colour to grey is the sum over the channels: the response to a grey image is that to the same image in all
    channels. Grey to colour is a share of 1 / C for each channel: the response is that to their mean.
    """
    if found.ndim != 4 or (found.shape[0], *found.shape[2:]) != (shape[0], *shape[2:]):
        return None, ''
    if shape[1] == 1:
        return found.float().sum(1, keepdim=True), f'sum of {found.shape[1]} channels'
    if found.shape[1] == 1:
        return (found.float() / shape[1]).expand(shape), f'1 channel to {shape[1]}'
    return None, ''


def adapted_last(found: Tensor, shape: torch.Size) -> tuple[Tensor | None, str]:
    """Return weight (C_out, C, k, k) or bias (C_out,) of the last convolution for grey images, or the reverse.

    Colour to grey is the mean over the output channels, grey to colour a copy for each.
    """
    if found.ndim != len(shape) or found.shape[1:] != shape[1:]:
        return None, ''
    if shape[0] == 1:
        return found.float().mean(0, keepdim=True), f'mean of {found.shape[0]} channels'
    if found.shape[0] == 1:
        return found.expand(shape), f'1 channel to {shape[0]}'
    return None, ''


def grouped(keys: Mapping[str, str] | Sequence[str]) -> str:
    """Return keys in few words: the blocks that they are in, as ranges, and how many tensors these are."""
    blocks: dict[str, list[int]] = {}
    for key in keys:
        match = BLOCK.fullmatch(key)
        if match:
            blocks.setdefault(match[1], []).append(int(match[2]))
        else:
            blocks.setdefault('.'.join(key.split('.')[:2]), [])
    names = [f'{name} {ranges(numbers)}'.strip() for name, numbers in blocks.items()]
    return f'{first_of(names, 6)} ({len(keys)} tensors)'


def ranges(numbers: Sequence[int]) -> str:
    """Return numbers in ascending order as ranges, such as '1-3, 5'."""
    runs = [
        [number for _, number in run]
        for _, run in groupby(enumerate(sorted(set(numbers))), key=lambda pair: pair[1] - pair[0])
    ]
    return ', '.join(str(run[0]) if len(run) == 1 else f'{run[0]}-{run[-1]}' for run in runs)
