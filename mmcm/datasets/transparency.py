"""Background and number of the transparent images of a data set."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmcm.datasets.transforms.load_image import NO_BACKGROUND, check_background

UNREAD, OPAQUE, TRANSPARENT = range(3)


class Transparency:
    """The background of a data set, and a record of the transparent images among those read so far.

    The record lies in shared memory, so the reads of worker processes are counted, too.

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
        """Return the output of `pipeline`, which begins with `LoadImage`, for `sample`, the image at `position`."""
        sample['background'] = self.background
        result = pipeline(sample)
        self.states[position] = TRANSPARENT if sample.get('transparent') else OPAQUE
        return result

    def is_transparent(self, position: int) -> bool:
        """Return whether the image at `position` was read, here or in a worker process, and is transparent."""
        return int(self.states[position]) == TRANSPARENT

    def merge(self, states: Tensor) -> None:
        """Add the `states` of another process of a distributed run."""
        torch.maximum(self.states, states, out=self.states)

    def described(self) -> str | None:
        """Describe the number of transparent images among those read so far; return None if there are none."""
        return transparency_in_words(
            int((self.states == TRANSPARENT).sum()), int((self.states != UNREAD).sum()), self.background
        )


def transparency_in_words(count: int, total: int, background: str) -> str | None:
    """Describe the treatment of `count` transparent images among `total`; return None if there are none."""
    if not count:
        return None
    images = f'{count} of {total} images with transparency'
    if background == NO_BACKGROUND:
        return f'left out the alpha channel of {images}: colours under alpha 0 are visible'
    return f'composited {images} on {background}'
