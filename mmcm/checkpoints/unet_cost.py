"""What a U-Net costs, by its config in a file of weights."""

import math
from typing import Any

from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import height_and_width

NEEDED = ('image_size', 'base_channels', 'num_res_blocks', 'channel_mult', 'attention_resolutions')


def check_unet(place: str, backbone: dict[str, Any], attention_side: int, most_numbers: int, most_kept: int) -> None:
    """Raise an InputError if a U-Net takes far more memory or time for one image than any published one.

    Args:
        place (str): What an error calls the config.
        backbone (dict): The config, whose settings keep their own bounds.
        attention_side (int): Side of the largest square feature map with attention.
        most_numbers (int): Largest number of values in one feature map of one image.
        most_kept (int): Largest number of values in all feature maps of one image that are kept.
    """
    missing = [key for key in NEEDED if key not in backbone]
    if missing or not backbone['channel_mult']:
        raise InputError(f'{place} does not say {", ".join(missing) or "channel_mult"}.')
    patch = backbone.get('patch_size', 1)
    height, width = (side // patch for side in height_and_width(backbone['image_size'], f'{place}.image_size'))
    largest = max(height * width * channels // 4**level for level, channels in enumerate(widths_of(backbone)))
    if largest > most_numbers:
        raise InputError(
            f'{place} would have {largest:,} numbers in one feature map, and at most {most_numbers:,} are allowed.'
        )
    # What one level keeps for the way up, times its blocks: the memory of one image.
    kept = sum(
        (backbone['num_res_blocks'] + 1) * (height * width * channels // 4**level)
        for level, channels in enumerate(widths_of(backbone))
    )
    if kept > most_kept:
        raise InputError(f'{place} would keep {kept:,} numbers of one image, and at most {most_kept:,} are allowed.')
    maps = [(height >> level, width >> level) for level in range(len(backbone['channel_mult']))]
    # The middle has attention in any case.
    attended = [sides for sides in maps if min(sides) in backbone['attention_resolutions']] + maps[-1:]
    high, wide = max(attended, key=math.prod)
    if high * wide > attention_side**2:
        raise InputError(
            f'{place} would have attention on a map of {wide} x {high}, and at most {attention_side} '
            f'x {attention_side} is allowed.'
        )


def least_weights(backbone: dict[str, Any]) -> int:
    """Return a lower bound of the weights of a U-Net."""
    # The second 3 x 3 convolution of each residual block keeps the width.
    # An embedding of the classes is at least as wide as the first level.
    classes = (backbone.get('num_classes') or 0) * backbone['base_channels']
    return classes + sum(9 * width**2 * (2 * backbone['num_res_blocks'] + 1) for width in widths_of(backbone))


def widths_of(backbone: dict[str, Any]) -> list[int]:
    """Return the channels of each level of a U-Net."""
    return [backbone['base_channels'] * mult for mult in backbone['channel_mult']]
