"""`EditResult`: the candidates of an edit, as grids and as files."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmcm.apis.editing.images import Place, flattened
from mmcm.apis.sampling_result import check_out, shortened
from mmcm.renamed import old_names, renamed_member
from mmcm.utils.errors import InputError
from mmcm.utils.images import png_bytes, to_pixels, write_image
from mmcm.visualization.grids import grid

__getattr__ = old_names(__name__)
CELL_SIDE = 128  # pixels up to which the longer side of smaller images is enlarged in a grid, by a whole number
FULL_SIZE_SIDE = 384  # pixels of the longer side of a full-size image in a grid, at most
GRID_WIDTH = 1600  # pixels of the images in a row, at most


@dataclass(frozen=True, repr=False)
class EditResult:
    """The candidates of an edit; images are uint8, RGB or grey, on the CPU.

    Attributes:
        picture (Tensor): The user's image at the model's size, (C, H, W).
        known (Tensor): What was known of it, (C, H, W).
        candidates (Tensor): The results, (K, C, H, W).
        labels (list[int], optional): The class of each candidate; None for unconditional models.
        seconds (float): How long sampling took, without loading.
        nfe (int): Number of function evaluations (NFE), that is of the network, per candidate.
        steps (Tensor, optional): Each candidate after each step, (K, S, C, H, W), with `keep_steps`.
        mask (Tensor, optional): White in what was edited, at the model's size, (1, H, W), for tasks with a mask.
        place (Place, optional): Where the results belong in the user's image, if they do.
        names (list[str], optional): The name of the class of each candidate, its number where it has none.
        num_tiles (int): In how many tiles the image was edited.
        record (Callable, optional): Returns the record of what made the images; see `SamplingResult`.
    """

    picture: Tensor
    known: Tensor
    candidates: Tensor
    labels: list[int] | None
    seconds: float
    nfe: int
    steps: Tensor | None = None
    mask: Tensor | None = None
    place: Place | None = None
    names: list[str] | None = None
    num_tiles: int = 1
    record: Callable[[], dict] | None = None
    num_calls = renamed_member('num_calls', 'nfe')

    def __repr__(self) -> str:
        """Return one line without the images, which would fill pages."""
        count, _, height, width = self.candidates.shape
        labels = '' if self.labels is None else f'labels {shortened(self.labels)}, '
        place = '' if self.place is None else ' x '.join(map(str, self.place.image.size[::-1]))
        return (
            f'{type(self).__name__}({count} candidate{"s" * (count != 1)} of {height} x {width} pixels, '
            f'{place and f"in an image of {place} pixels, "}{labels}'
            f'{self.nfe} network evaluation{"s" * (self.nfe != 1)} per candidate, {self.seconds:.2f} s)'
        )

    def _repr_png_(self) -> bytes:
        """Return the grid as a PNG file, which notebooks show in place of the line."""
        return png_bytes(self.sheet())

    @property
    def provenance(self) -> dict | None:
        """The record of what made the candidates; None if it is unknown."""
        return None if self.record is None else self.record()

    @property
    def pasted(self) -> list[Image.Image] | None:
        """The user's image with each candidate in it, made at each access; None without a place."""
        return None if self.place is None else list(self._full_size(self.place))

    def sheet(self) -> np.ndarray:
        """Return a grid of the image before, the mask, what was known and the results: (H, W, 3), uint8 RGB.

        Where the results have a place in the user's image, further rows show them there.
        """
        after = [f'after {index}' for index in range(len(self.candidates))]
        labelled = after if self.names is None else [f'{text}: {name}' for text, name in zip(after, self.names)]
        given = dict(before=self.picture, mask=self.mask, known=self.known)
        sheet = captioned({**given, **dict(zip(labelled, self.candidates))})
        if self.place is None:
            return sheet
        mask = None if self.place.mask is None else reduced(self.place.mask)
        given = dict(before=reduced(self.place.image), mask=mask)
        results = (reduced(image) for image in self._full_size(self.place))
        full_size = captioned({**given, **dict(zip(after, results))})
        width = max(sheet.shape[1], full_size.shape[1])
        return np.vstack(
            [
                np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=255)
                for part in (sheet, full_size)
            ]
        )

    def sheet_of_steps(self) -> np.ndarray:
        """Return a grid of the candidates after each step, one candidate per row: (H, W, 3), uint8 RGB.

        Raises:
            InputError: If the steps have not been kept.
        """
        if self.steps is None:
            raise InputError('the steps have not been kept: edit with keep_steps=True.')
        return grid(self.steps.flatten(0, 1), self.steps.shape[1])

    def save(self, out: str | Path) -> list[Path]:
        """Write the grid to a file (`out` has a suffix), or its images one by one into a folder; return the paths."""
        out = Path(out).expanduser()
        if check_out(out):
            write_image(out, self.sheet(), self.provenance)
            return [out]
        images = dict(picture=self.picture, known=self.known)
        if self.mask is not None:
            images['mask'] = self.mask
        for index, candidate in enumerate(self.candidates):
            label = '' if self.labels is None else f'_label{self.labels[index]}'
            images[f'candidate_{index:03d}{label}'] = candidate
        paths, record = [out / f'{name}.png' for name in images], self.provenance
        for path, image in zip(paths, images.values()):
            write_image(path, to_pixels(image), record)
        if self.place is not None:
            for index, full_size in enumerate(self._full_size(self.place)):
                paths.append(out / f'full_size_{index:03d}.png')
                write_image(paths[-1], np.asarray(full_size), record)
        return paths

    def _full_size(self, place: Place) -> Iterator[Image.Image]:
        """Yield the user's image with each candidate in it, one after the other, as they may be large."""
        return (place.paste(to_pixels(candidate)) for candidate in self.candidates)


def captioned(cells: Mapping[str, Tensor | None]) -> np.ndarray:
    """Return a grid of images (C, H, W), uint8, of one size, with their names; those that are None are left out."""
    images = {name: image for name, image in cells.items() if image is not None}
    _, height, width = next(iter(images.values())).shape
    factor = max(1, CELL_SIDE // max(height, width))  # by the longer side, lest a thin image becomes a huge one
    columns = min(len(images), max(1, GRID_WIDTH // (factor * width)))
    return grid(list(images.values()), columns, factor * height, list(images))


def reduced(image: Image.Image) -> Tensor:
    """Return `image` with a longer side of at most `FULL_SIZE_SIDE` pixels: (3, H, W), uint8, white behind it."""
    scale = min(1, FULL_SIZE_SIDE / max(image.size))
    width, height = (max(1, round(length * scale)) for length in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BOX)
    return torch.from_numpy(np.array(flattened(image))).permute(2, 0, 1)
