"""`Drawing`: images with what they were drawn from."""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

import numpy as np
from PIL.Image import Image
from torch import Tensor

from mmcm.structures import DataSample
from mmcm.utils.checks import check_count
from mmcm.utils.files import make_folder
from mmcm.utils.images import check_picture_path, grid, to_pixels, write_picture

Images = Union[list[Image], np.ndarray, Tensor, list[DataSample]]


@dataclass(frozen=True)
class Drawing:
    """What a call of the inferencer has drawn.

    Attributes:
        images (list | ndarray | Tensor): The images, as `output_type` asked for them.
        pixels (Tensor): The same, uint8 RGB, (N, C, H, W), on the CPU.
        labels (list[int], optional): The class of each image; None for unconditional models.
        seeds (Sequence[int], optional): The seed of each image; None where the caller's generators made the noise.
        seconds (float): How long the drawing took, loading not counted.
        num_calls (int): Network calls per image.
        names (list[str], optional): The name of the class of each image, its number where it has none.
    """

    images: Images
    pixels: Tensor
    labels: Optional[list[int]]
    seeds: Optional[Sequence[int]]
    seconds: float
    num_calls: int
    names: Optional[list[str]] = None

    def sheet(self, columns: Optional[int] = None) -> np.ndarray:
        """Return one picture of all images, captioned with the names of their classes: (H, W, 3), uint8 RGB."""
        if columns is not None:
            check_count('columns', columns)
        return grid(self.pixels, columns, captions=self.names)

    def save(self, out: Union[str, Path], columns: Optional[int] = None) -> list[Path]:
        """Write the images: to a file as one sheet, or into a folder one by one.

        Args:
            out (str | Path): A path with a suffix is a picture file, any other one a folder.
            columns (int, optional): Images per row of the sheet.

        Returns:
            list[Path]: What was written.
        """
        out = Path(out).expanduser()
        if check_out(out):
            write_picture(out, self.sheet(columns))
            return [out]
        paths = []
        for index, image in enumerate(self.pixels):
            label = '' if self.labels is None else f'_label{self.labels[index]}'
            paths.append(out / f'{index:06d}{label}.png')
            write_picture(paths[-1], to_pixels(image))
        return paths


def check_out(out: Path) -> bool:
    """Return whether `out` names a file (it has a suffix); an InputError if it cannot be written to."""
    if out.suffix and not out.is_dir():
        check_picture_path(out)
        return True
    make_folder(out)
    return False
