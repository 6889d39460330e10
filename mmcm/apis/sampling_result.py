"""`SamplingResult`: sampled images, with their labels, seeds and time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image
from torch import Tensor

from mmcm.renamed import old_names, renamed_member
from mmcm.structures import DataSample
from mmcm.utils.checks import check_count
from mmcm.utils.files import make_folder
from mmcm.utils.images import check_image_path, png_bytes, to_pixels, write_image
from mmcm.utils.outputs import check_name
from mmcm.visualization.grids import grid

__getattr__ = old_names(__name__)
MOST_SHOWN = 10  # labels or seeds in a line
Images = list[Image] | np.ndarray | Tensor | list[DataSample]


@dataclass(frozen=True, repr=False)
class SamplingResult:
    """Images that an inferencer has sampled.

    Attributes:
        images (list | ndarray | Tensor): The images, as `output_type` asked for them.
        pixels (Tensor): The same, uint8 RGB, (N, C, H, W), on the CPU.
        labels (list[int], optional): The class of each image; None for unconditional models.
        seeds (Sequence[int], optional): The seed of each image; None where the caller's generators made the noise.
        seconds (float): How long sampling took, loading not counted.
        nfe (int): Number of function evaluations (NFE), that is of the network, per image.
        names (list[str], optional): The name of the class of each image, its number where it has none.
        record (Callable, optional): Returns the record of what made the images, which `save` writes into PNGs; see
            `mmcm.apis.provenance.sampling_record`. The digest of the weights in it takes a moment for large networks.
    """

    images: Images
    pixels: Tensor
    labels: list[int] | None
    seeds: Sequence[int] | None
    seconds: float
    nfe: int
    names: list[str] | None = None
    record: Callable[[], dict] | None = None
    num_calls = renamed_member('num_calls', 'nfe')

    def __repr__(self) -> str:
        """Return one line of facts; the images themselves would fill pages."""
        count, _, height, width = self.pixels.shape
        parts = [f'{count} image{"s" * (count != 1)} of {height} x {width} pixels']
        if self.labels is not None:
            parts.append(f'labels {shortened(self.labels)}')
        if self.seeds is not None:
            parts.append(f'seeds {shortened(self.seeds)}')
        parts.append(f'{self.nfe} network evaluation{"s" * (self.nfe != 1)} per image')
        return f'{type(self).__name__}({", ".join(parts)}, {self.seconds:.2f} s)'

    def _repr_png_(self) -> bytes:
        """Return the grid as a PNG file, which notebooks show in place of the line."""
        return png_bytes(self.sheet())

    def sheet(self, columns: int | None = None) -> np.ndarray:
        """Return a grid of all images, captioned with the names of their classes: (H, W, 3), uint8 RGB."""
        if columns is not None:
            check_count('columns', columns)
        return grid(self.pixels, columns, captions=self.names)

    def save(self, out: str | Path, columns: int | None = None) -> list[Path]:
        """Write the images: to a file as one grid, or into a folder one by one.

        Args:
            out (str | Path): A path with a suffix is an image file, any other one a folder.
            columns (int, optional): Images per row of the grid.

        Returns:
            list[Path]: The files.
        """
        out = Path(out).expanduser()
        if check_out(out):
            write_image(out, self.sheet(columns), self.provenance(writer='sheet', columns=columns))
            return [out]
        paths = [out / name for name in file_names(len(self.pixels), self.labels)]
        record = self.provenance(writer='sheet-image')
        for index, (path, image) in enumerate(zip(paths, self.pixels)):
            write_image(path, to_pixels(image), None if record is None else {**record, 'index': index})
        return paths

    def provenance(self, **more: Any) -> dict[str, Any] | None:
        """Return the record of what made the images, with `more` entries; None if it is unknown."""
        return None if self.record is None else {**self.record(), **more}


def file_names(num_images: int, labels: Sequence[int] | None) -> list[str]:
    """Return the names of the files of single images."""
    return [f'{index:06d}{"" if labels is None else f"_label{labels[index]}"}.png' for index in range(num_images)]


def shortened(values: Sequence[int]) -> str:
    """Return a list as text, the middle of a long one left out."""
    words = [str(value) for value in values[:MOST_SHOWN]]
    if len(values) > MOST_SHOWN:
        words = [*words[: MOST_SHOWN - 2], '...', str(values[-1])]
    return f'[{", ".join(words)}]'


def check_out(out: Path) -> bool:
    """Return whether `out` names a file (it has a suffix); an InputError if it cannot be written to."""
    check_name(out)
    if out.suffix and not out.is_dir():
        check_image_path(out)
        return True
    make_folder(out)
    return False
