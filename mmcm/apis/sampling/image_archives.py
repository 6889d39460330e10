"""Image archives: many images in an npz file, a zip file or a folder of PNGs, or one grid.

Archives are written block by block, so the images need not fit into memory, and appear under their names only when they
are whole. The same images make the same bytes. Each archive records the origin of its images, by which an interrupted
request is continued; PNGs, and the origin of other archives, have the record of what made them, too
(`mmcm.utils.provenance`).
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

from mmcm.utils.bounded import open_directory, open_plain, parse_json, read_json
from mmcm.utils.errors import InputError
from mmcm.utils.files import appearing, make_folder, remove_leftovers
from mmcm.utils.provenance import KEY, with_record
from mmcm.visualization.grids import grid

GRID_PIXELS = 2**26  # a larger grid is of no use to the eye
ORIGIN_FILE = 'origin.json'  # in folders
ORIGIN_KEY = 'mmcm'  # in grids


@dataclass(frozen=True)
class ImageSet:
    """Images that are read block by block.

    Attributes:
        shape (tuple[int, int, int, int]): (N, H, W, C).
        blocks (Callable): Returns an iterator over the images in order, as uint8 RGB arrays (B, H, W, C).
        labels (Sequence[int], optional): The class of each image; None for unconditional models.
        origin (dict): The request of the images, in plain values.
        names (Sequence[str], optional): The name of the class of each image, for captions.
        record (Mapping, optional): What made the images; see `mmcm.apis.provenance.sampling_record`.
    """

    shape: tuple[int, int, int, int]
    blocks: Callable[[], Iterator[np.ndarray]]
    labels: Sequence[int] | None
    origin: dict
    names: Sequence[str] | None = None
    record: Mapping[str, Any] | None = None

    @property
    def notes(self) -> dict:
        """The origin with the record, for archives of many images."""
        return self.origin if self.record is None else {**self.origin, KEY: self.record}

    def recorded(self, png: bytes, **more: Any) -> bytes:
        """Return a PNG with the record, if there is one, and `more` entries in it."""
        return png if self.record is None else with_record(png, {**self.record, **more})


def write(path: Path, images: ImageSet, columns: int | None = None) -> None:
    """Write `images` in the format that the suffix of `path` names; `columns` is for grids.

    Raises:
        InputError: If `path` cannot be written.
    """
    kind = _kind(path)
    if kind == '.png':
        return _write_grid(path, images, columns)
    {'.npz': _write_npz, '.zip': _write_zip, '': _write_folder}[kind](path, images)


def check_path(path: Path, shape: tuple[int, int, int, int]) -> None:
    """Raise an InputError unless images (N, H, W, C) could be written to `path`; make its folder."""
    if path.resolve() in (Path.cwd(), Path(path.anchor)):
        raise InputError(f'{path} is the current folder or the root: name a new folder.')
    make_folder(path.parent)
    kind = _kind(path)
    if (path.is_dir() and kind) or (path.exists() and not path.is_dir() and not kind):
        raise InputError(f'{path} is a {"folder" if kind else "file"}: choose another name.')
    height, width = shape[1:3]
    high = max(64, height)  # a grid magnifies small images by their height
    pixels = high * max(64, width, high * width // height)
    if kind == '.png' and shape[0] * pixels > GRID_PIXELS:
        raise InputError(
            f'{shape[0]} images are too many for one grid, {path}: at most {GRID_PIXELS // pixels} of '
            'this size. Write .npz, .zip or a folder.'
        )


def is_grid(path: Path) -> bool:
    """Return whether `path` names a grid of all images."""
    return _kind(path) == '.png'


def read_origin(path: Path) -> dict | None:
    """Return the origin of the images in an archive; None if `path` is missing or records none."""
    with suppress(OSError, ValueError, KeyError, zipfile.BadZipFile, AttributeError, SyntaxError):
        kind = _kind(path)
        if kind == '':
            found = read_json(path / ORIGIN_FILE)
        elif kind == '.png':
            with open_plain(path) as file, Image.open(file, formats=('PNG',)) as image:  # Pillow bounds its texts
                found = parse_json(cast(PngImageFile, image).text[ORIGIN_KEY])
        else:
            open_directory(path, images=True)
            with zipfile.ZipFile(path) as archive:
                found = parse_json(archive.comment)
        return found if isinstance(found, dict) else None
    return None


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    remove_leftovers(path)
    with appearing(path, 'Finished images are kept: make room, and give the same command again.') as part:
        yield part


def _kind(path: Path) -> str:
    """Return the suffix of `path`, which names its format; '' means a folder."""
    kind = path.suffix.lower()
    if kind in ('.npz', '.zip', '.png', ''):
        return kind
    if path.is_dir():
        return ''
    raise InputError(
        f'{path} has no known suffix: .npz, .zip (of PNGs), .png (one grid), or none for a folder of PNGs.'
    )


def _write_npz(path: Path, images: ImageSet) -> None:
    """Write `arr_0`, uint8 (N, H, W, C), and of conditional models `arr_1`, the labels, int64 (N,)."""
    with _appearing(path) as part, _archive(part, images.notes) as archive:
        with archive.open(zipfile.ZipInfo('arr_0.npy'), 'w', force_zip64=True) as file:
            header = dict(descr='|u1', fortran_order=False, shape=images.shape)
            np.lib.format.write_array_header_1_0(file, header)
            for block in images.blocks():
                file.write(block.data)
        if images.labels is not None:
            with archive.open(zipfile.ZipInfo('arr_1.npy'), 'w', force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(images.labels, '<i8'), version=(1, 0))


def _write_zip(path: Path, images: ImageSet) -> None:
    with _appearing(path) as part, _archive(part, images.notes) as archive:
        for name, content in _png_files(images):
            archive.writestr(zipfile.ZipInfo(name), content)


def _archive(path: Path, origin: dict) -> zipfile.ZipFile:
    """Open a zip file to write to. Its entries are stored, with the date of `ZipInfo`, 1980."""
    archive = zipfile.ZipFile(path, 'w')
    archive.comment = _json(origin)
    return archive


def _write_folder(path: Path, images: ImageSet) -> None:
    with _appearing(path) as part:
        for name, content in _png_files(images):
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            (part / name).write_bytes(content)
        (part / ORIGIN_FILE).write_bytes(_json(images.notes))


def _png_files(images: ImageSet) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of the PNGs and of `dataset.json`, in the format of EDM's and StyleGAN's data sets."""
    names: list[str] = []
    with ThreadPoolExecutor() as pool:
        for block in images.blocks():
            for content in pool.map(encode_png, block):
                index = f'{len(names):08d}'
                names.append(f'{index[:5]}/img{index}.png')
                yield names[-1], images.recorded(content, writer='grid-image', index=int(index))
    labels = None if images.labels is None else list(zip(names, images.labels))
    yield 'dataset.json', _json(dict(labels=labels))


def encode_png(pixels: np.ndarray) -> bytes:
    """Return an image (H, W, C), grey or RGB, as the content of a PNG file."""
    if pixels.shape[2] == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return cv2.imencode('.png', pixels, [cv2.IMWRITE_PNG_COMPRESSION, 6])[1].tobytes()


def _write_grid(path: Path, images: ImageSet, columns: int | None) -> None:
    tiles = [torch.from_numpy(image).permute(2, 0, 1) for block in images.blocks() for image in block]
    notes = PngInfo()
    notes.add_text(ORIGIN_KEY, _json(images.origin).decode())
    content = io.BytesIO()
    Image.fromarray(grid(tiles, columns, captions=images.names)).save(content, 'PNG', pnginfo=notes)
    with _appearing(path) as part:
        part.write_bytes(images.recorded(content.getvalue(), writer='grid', columns=columns))


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
