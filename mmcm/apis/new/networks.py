"""Networks for own images: the one table from the size of the images to a network, its parameters and its cost."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from mmcm.apis.new.budget import in_words
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import height_and_width, plain_size
from mmcm.utils.meta_device import without_weights

LOWEST_SIDE = 8  # the shorter side is halved once, and while it is above this,
LARGEST_LOWEST = 16  # and has to reach this at the lowest level, whose attention is quadratic in the pixels
CHANNELS_PER_GROUP = 4  # of group normalisation, at least, as in EDM's networks; 32 groups at most
# Width of each level in units of the first, by the number of halvings. High resolutions stay narrow.
MULTIPLIERS: tuple[tuple[int, ...], ...] = ((1,), (1, 2), (1, 2, 3), (1, 1, 2, 4), (1, 1, 2, 3, 4), (1, 1, 2, 2, 4, 4))


class Network(NamedTuple):
    """A row of the table.

    Attributes:
        name (str): Its name on the pages.
        base_channels (int): Width of the first level.
        num_res_blocks (int): Residual blocks per level.
        lr (float): Learning rate of RAdam: 1e-3 as in the recipes for digits and patches, 4e-4 and 1e-4 as in those of
            Song et al. (2023) for networks of more than 50 and 200 million parameters.
        least_images (int): Number of images from which it is considered; a large network memorises few images sooner.
    """

    name: str
    base_channels: int
    num_res_blocks: int
    lr: float
    least_images: int


NETWORKS = (
    Network('tiny', 16, 1, 1e-3, 0),
    Network('small', 32, 1, 1e-3, 0),
    Network('medium', 64, 2, 1e-3, 1000),
    Network('large', 128, 2, 4e-4, 10000),
    Network('huge', 192, 3, 1e-4, 50000),
)
SHOWN_SIZES = (8, 16, 32, 64, 128, 256)  # of the table on the pages
SHOWN_STEPS, SHOWN_BATCH = 5000, 32
CORE_OPERATIONS = 5e10  # per second, of one core of an AMD EPYC (AVX-512) in these networks, measured


def halvings(size: tuple[int, int]) -> int:
    """Return how often a network halves images of `size` (H, W).

    Raises:
        InputError: If the sides cannot be halved often enough.
    """
    sides, times = size, 0
    while (
        (min(sides) > LOWEST_SIDE or not times) and times < len(MULTIPLIERS) - 1 and not (sides[0] % 2 or sides[1] % 2)
    ):
        sides, times = (sides[0] // 2, sides[1] // 2), times + 1
    if min(sides) > LARGEST_LOWEST:
        step = 2 ** (times + 1)
        while max(side / step for side in size) > LARGEST_LOWEST and step < 2 ** (len(MULTIPLIERS) - 1):
            step *= 2
        near = 'x'.join(
            str(max(step, round(side / step) * step)) for side in (size if size[0] != size[1] else size[:1])
        )
        raise InputError(
            f'images of {size[0]} x {size[1]} pixels can be halved {times} times only, and a network of this size '
            f'needs sides that are multiples of {step}: --size {near}, for example.'
        )
    return times


def backbone_settings(
    network: Network, size: tuple[int, int], channels: int, num_classes: int | None, augment_dim: int = 0
) -> dict[str, Any]:
    """Return the settings of an ADMUNet beside those of `_base_/models/adm_own-pictures.py`.

    Args:
        network (Network): The row of the table.
        size (tuple[int, int]): Height and width of the images in pixels.
        channels (int): 3, or 1 for grey images.
        num_classes (int, optional): Number of classes, None for a network without classes.
        augment_dim (int): Number of augmentation labels, 0 without augmentation.
    """
    times = halvings(size)
    lowest = tuple(side // 2**times for side in size)
    settings: dict[str, Any] = dict(
        image_size=plain_size(size),
        in_channels=channels,
        out_channels=channels,
        base_channels=network.base_channels,
        num_res_blocks=network.num_res_blocks,
        attention_resolutions=(min(lowest),),
        channel_mult=MULTIPLIERS[times],
        num_head_channels=min(network.base_channels, 64),
        norm_groups=min(32, network.base_channels // CHANNELS_PER_GROUP),
    )
    if num_classes is not None:
        settings['num_classes'] = num_classes
    if augment_dim:
        settings['augment_dim'] = augment_dim
    return settings


def allowed(num_images: int) -> Sequence[Network]:
    """Return the networks for `num_images` images, the smallest first."""
    return [network for network in NETWORKS if num_images >= network.least_images]


def build_on_meta(settings: dict[str, Any]) -> torch.nn.Module:
    """Build an ADMUNet with `settings`, without memory for its weights."""
    with without_weights():
        return MODELS.build({**dict(type='ADMUNet', scale_shift_norm=True, resblock_updown=True), **settings})


def cost_of(settings: dict[str, Any]) -> tuple[int, float]:
    """Return the number of parameters, and the floating-point operations of a training step of EDM for an image.

    A backward pass takes twice the operations of a forward pass.
    """
    network = build_on_meta(settings)
    height, width = height_and_width(settings['image_size'])
    options: dict[str, Any] = dict(device='meta', dtype=torch.float32)
    labels = None
    if settings.get('num_classes') is not None:
        labels = torch.zeros(1, dtype=torch.int64, device='meta')
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, settings['in_channels'], height, width, **options), torch.ones(1, **options), labels)
    return sum(weights.numel() for weights in network.parameters()), 3.0 * counter.get_total_flops()


def table_lines() -> list[str]:
    """Return the table on the pages: a row for each size, and the parameters and the time of each network."""
    names = ' | '.join(f'{network.name}, width {network.base_channels}' for network in NETWORKS)
    lines = [f'| Size | {names} |', f'| --: |{" --: |" * len(NETWORKS)}']
    for side in SHOWN_SIZES:
        cells = []
        for network in NETWORKS:
            parameters, operations = cost_of(backbone_settings(network, (side, side), 3, None))
            seconds = SHOWN_STEPS * SHOWN_BATCH * operations / CORE_OPERATIONS
            cells.append(f'{parameters / 1e6:.3g} M, {in_words(seconds)}')
        lines.append(f'| {side} | {" | ".join(cells)} |')
    return lines
