"""`Edited`: what became of a picture, as sheets and as files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmcm.apis.editing.images import Place, flattened
from mmcm.apis.sampling_result import check_out, shortened
from mmcm.utils.errors import InputError
from mmcm.utils.images import png_bytes, to_pixels, write_picture
from mmcm.visualization.grids import grid

TILE_SIDE = 128  # pixels up to which the longer side of smaller images is enlarged on a sheet, by a whole number
FULL_SIZE_SIDE = 384  # pixels of the longer side of a picture of its own size on a sheet, at most
SHEET_WIDTH = 1600  # pixels of the tiles in a row, at most


@dataclass(frozen=True, repr=False)
class Edited:
    """What became of a picture; images are uint8, RGB or grey, on the CPU.

    Attributes:
        picture (Tensor): The picture at the model's size, (C, H, W).
        known (Tensor): What was known of it, (C, H, W).
        candidates (Tensor): The results, (K, C, H, W).
        labels (list[int], optional): The class of each candidate; None for unconditional models.
        seconds (float): How long the drawing took, loading not counted.
        num_calls (int): Network calls per candidate.
        steps (Tensor, optional): Each candidate after each step, (K, S, C, H, W), if that was asked for.
        mask (Tensor, optional): White where to draw, at the model's size, (1, H, W), for tasks that have a mask.
        place (Place, optional): Where the results belong in the picture at its own size, if they do.
        num_tiles (int): In how many tiles the picture was edited.
        names (list[str], optional): The name of the class of each candidate, its number where it has none.
    """

    picture: Tensor
    known: Tensor
    candidates: Tensor
    labels: list[int] | None
    seconds: float
    num_calls: int
    steps: Tensor | None = None
    mask: Tensor | None = None
    place: Place | None = None
    names: list[str] | None = None
    num_tiles: int = 1

    def __repr__(self) -> str:
        """Return one line that says what it holds; the images themselves would fill pages."""
        count, _, height, width = self.candidates.shape
        labels = '' if self.labels is None else f'labels {shortened(self.labels)}, '
        place = '' if self.place is None else ' x '.join(map(str, self.place.picture.size[::-1]))
        return (
            f'{type(self).__name__}({count} candidate{"s" * (count != 1)} of {height} x {width} pixels, '
            f'{place and f"in a picture of {place} pixels, "}{labels}'
            f'{self.num_calls} network call{"s" * (self.num_calls != 1)} per candidate, {self.seconds:.2f} s)'
        )

    def _repr_png_(self) -> bytes:
        """Return the sheet as a PNG file, which notebooks show in place of the line."""
        return png_bytes(self.sheet())

    @property
    def pasted(self) -> list[Image.Image] | None:
        """The picture at its own size with each candidate in it, made at each asking; None without a place."""
        return None if self.place is None else [self._paste(candidate) for candidate in self.candidates]

    def sheet(self) -> np.ndarray:
        """Return the picture before, the mask, what was known and the results: (H, W, 3), uint8 RGB.

        Results that belong in the picture at its own size are shown there too, in further rows.
        """
        after = [f'after {index}' for index in range(len(self.candidates))]
        labelled = after if self.names is None else [f'{text}: {name}' for text, name in zip(after, self.names)]
        given = dict(before=self.picture, mask=self.mask, known=self.known)
        sheet = captioned({**given, **dict(zip(labelled, self.candidates))})
        if self.place is None:
            return sheet
        mask = None if self.place.mask is None else reduced(self.place.mask)
        given = dict(before=reduced(self.place.picture), mask=mask)
        results = (reduced(self._paste(candidate)) for candidate in self.candidates)
        full_size = captioned({**given, **dict(zip(after, results))})
        width = max(sheet.shape[1], full_size.shape[1])
        return np.vstack(
            [
                np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=255)
                for part in (sheet, full_size)
            ]
        )

    def sheet_of_steps(self) -> np.ndarray:
        """Return how the candidates came about, one in a row: (H, W, 3), uint8 RGB.

        Raises:
            InputError: If the steps have not been kept.
        """
        if self.steps is None:
            raise InputError('the steps have not been kept: edit with keep_steps=True.')
        return grid(self.steps.flatten(0, 1), self.steps.shape[1])

    def save(self, out: str | Path) -> list[Path]:
        """Write the sheet to a file (`out` has a suffix), or its images one by one into a folder; return the paths."""
        out = Path(out).expanduser()
        if check_out(out):
            write_picture(out, self.sheet())
            return [out]
        images = dict(picture=self.picture, known=self.known)
        if self.mask is not None:
            images['mask'] = self.mask
        for index, candidate in enumerate(self.candidates):
            label = '' if self.labels is None else f'_label{self.labels[index]}'
            images[f'candidate_{index:03d}{label}'] = candidate
        paths = [out / f'{name}.png' for name in images]
        for path, image in zip(paths, images.values()):
            write_picture(path, to_pixels(image))
        if self.place is not None:
            for index, candidate in enumerate(self.candidates):  # one after the other, as they may be large
                paths.append(out / f'full_size_{index:03d}.png')
                write_picture(paths[-1], np.asarray(self._paste(candidate)))
        return paths

    def _paste(self, candidate: Tensor) -> Image.Image:
        return self.place.paste(to_pixels(candidate))


def captioned(tiles: dict[str, Tensor | None]) -> np.ndarray:
    """Lay images (C, H, W), uint8, of one size, out with their names; those that are None are left out."""
    tiles = {name: image for name, image in tiles.items() if image is not None}
    _, height, width = next(iter(tiles.values())).shape
    factor = max(1, TILE_SIDE // max(height, width))  # by the longer side, lest a thin picture becomes a huge one
    return grid(
        list(tiles.values()), min(len(tiles), max(1, SHEET_WIDTH // (factor * width))), factor * height, list(tiles)
    )


def reduced(picture: Image.Image) -> Tensor:
    """Return `picture` with a longer side of at most `FULL_SIZE_SIDE` pixels: (3, H, W), uint8, white behind it."""
    scale = min(1, FULL_SIZE_SIDE / max(picture.size))
    size = tuple(max(1, round(length * scale)) for length in picture.size)
    picture = picture.resize(size, Image.Resampling.BOX) if size != picture.size else picture
    picture = flattened(picture)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)
