"""What is behind the transparent images of a data set, and how many of them there are."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmcm.datasets.transforms.load_image import NO_BACKGROUND, check_background

UNREAD, OPAQUE, TRANSPARENT = range(3)


class Transparency:
    """The background of a data set, and which of its images were transparent when they were read.

    The states lie in shared memory, so that what worker processes read is counted in this one.

    Args:
        background (str): See `mmcm.datasets.transforms.load_image.check_background`.
        num_images (int): Number of images.

    Raises:
        InputError: If `background` is no colour.
    """

    def __init__(self, background: str, num_images: int) -> None:
        check_background(background)
        self.background = background
        self.states = torch.zeros(num_images, dtype=torch.uint8, device='cpu').share_memory_()

    def read(self, pipeline: Callable[[dict], Any], sample: dict, position: int) -> Any:
        """Return what `pipeline`, which begins with `LoadImage`, makes of `sample`, the image at `position`."""
        sample['background'] = self.background
        result = pipeline(sample)
        self.states[position] = TRANSPARENT if sample.get('transparent') else OPAQUE
        return result

    def is_transparent(self, position: int) -> bool:
        """Return whether the image at `position` was read, here or in a worker process, and is transparent."""
        return int(self.states[position]) == TRANSPARENT

    def merge(self, states: Tensor) -> None:
        """Count what another process of a distributed run has read, whose `states` these are."""
        torch.maximum(self.states, states, out=self.states)

    def described(self) -> str | None:
        """Return how many of the images that were read are transparent, in words; None if none is."""
        return transparency_in_words(
            int((self.states == TRANSPARENT).sum()), int((self.states != UNREAD).sum()), self.background
        )


def transparency_in_words(count: int, total: int, background: str) -> str | None:
    """Return what was done to `count` transparent images among `total`; None if there are none."""
    if not count:
        return None
    images = f'{count} of {total} images with transparency'
    if background == NO_BACKGROUND:
        return f'left out the alpha channel of {images}: colours under alpha 0 are visible'
    return f'composited {images} on {background}'
