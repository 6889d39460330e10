"""What a transformer of pMF or iMF costs, by its config in a file of weights."""

from typing import Any

from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import height_and_width

NEEDED = ('image_size', 'patch_size', 'embed_dims', 'depth', 'num_heads', 'num_classes')
PREFIX = dict(num_class_tokens=8, num_time_tokens=4, num_guidance_tokens=4, num_interval_tokens=2)


def check_transformer(place: str, backbone: dict[str, Any], most_tokens: int, most_numbers: int) -> None:
    """Raise an InputError if a transformer has more tokens, or wider ones, than any published one by far.

    Args:
        place (str): What an error calls the config.
        backbone (dict): The config, whose settings keep their own bounds.
        most_tokens (int): Largest number of tokens, each of which attention compares with each.
        most_numbers (int): Largest number of features of all tokens of one image.
    """
    missing = [key for key in NEEDED if key not in backbone]
    if missing:
        raise InputError(f'{place} does not say {", ".join(missing)}.')
    height, width = height_and_width(backbone['image_size'], f'{place}.image_size')
    patch = backbone['patch_size']
    counts = {key: backbone.get(key, default) for key, default in PREFIX.items()}
    tokens = -(-height // patch) * -(-width // patch) + sum(counts.values()) + counts['num_interval_tokens']
    if tokens > most_tokens:
        raise InputError(f'{place} would have {tokens:,} tokens, and at most {most_tokens:,} are allowed.')
    numbers = tokens * hidden_channels(backbone)
    if numbers > most_numbers:
        raise InputError(
            f'{place} would have {numbers:,} numbers in the tokens of one image, and at most {most_numbers:,} are '
            'allowed.'
        )


def least_weights(backbone: dict[str, Any]) -> int:
    """Return a lower bound of the weights of a transformer: those of the blocks that sampling needs."""
    width = backbone['embed_dims']
    return backbone['depth'] * (4 * width**2 + 3 * width * hidden_channels(backbone))


def hidden_channels(backbone: dict[str, Any]) -> int:
    """Return the hidden channels of the MLPs, before they are rounded up."""
    return 8 * backbone['embed_dims'] // 3
