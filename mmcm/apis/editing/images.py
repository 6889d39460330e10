"""Read images of any format and size, scale them for a model, and put results back at full size."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from mmcm.datasets.transforms.center_crop import CenterCropToSize
from mmcm.datasets.transforms.eight_bits import in_eight_bits, note_depth
from mmcm.datasets.transforms.load_image import DEFAULT_BACKGROUND, check_background, decoding, opaque, with_alpha
from mmcm.operators import EditingOperator, Inpainting
from mmcm.renamed import old_names
from mmcm.utils.bounded import Unreadable, read_file
from mmcm.utils.errors import InputError
from mmcm.utils.image_limits import FORMATS, MAX_IMAGE_BYTES, MAX_PIXELS, why_refused
from mmcm.utils.image_shape import Size, height_and_width

__getattr__ = old_names(__name__)
SAVE_AGAIN = 'Save it again as a PNG file.'
FEATHER = 1 / 16  # of the shorter side of a part of an image
STRIP_PIXELS = 2**20  # pixels of an image that are blended at once

Box = tuple[int, int, int, int]  # left, top, right and bottom, in pixels
ImageLike = Image.Image | np.ndarray | str | Path


def open_image(img: ImageLike, background: str | None = DEFAULT_BACKGROUND) -> Image.Image:
    """Read an image: one of Pillow's, pixels or the first image of a file, turned as its EXIF data says; see `as_rgb`.

    Args:
        img (Image | ndarray | str | Path): Pillow's image, uint8 pixels (H, W), (H, W, 3) or (H, W, 4), or a file.
        background (str, optional): The colour that a transparent image is composited on, as `check_background` takes
            it; None keeps the transparency.

    Returns:
        Image: Of mode RGB, or RGBA where transparency is kept and there is some.

    Raises:
        InputError: If it is none of these, there is no such file, it holds no image, is broken, or has too many pixels,
            which is checked before they are decoded.
    """

    def convert(image: Image.Image) -> Image.Image:
        return as_rgb(image, background)

    if isinstance(img, (str, Path)):
        return decode_image(img, convert)
    if isinstance(img, np.ndarray):
        if img.dtype != np.uint8 or not (img.ndim == 2 or (img.ndim == 3 and img.shape[2] in (3, 4))) or not img.size:
            raise InputError(
                'an image has pixels (H, W, 3), (H, W, 4) or (H, W), uint8 from 0 to 255, got '
                f'{img.shape}, {img.dtype}.'
            )
        img = Image.fromarray(img)
    if not isinstance(img, Image.Image):
        raise InputError(f"an image is a file, one of Pillow's or an array of pixels, got {type(img).__name__}.")
    return decoded(img, convert)


def decode_image(
    path: str | Path,
    convert: Callable[[Image.Image], Image.Image],
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
) -> Image.Image:
    """Read the image of a file, upright, and convert it with `convert`.

    Args:
        path (str | Path): The file.
        convert (Callable): From an image of any mode to an image; any error but an InputError means that it is damaged.
        max_pixels (int): Largest number of pixels.
        name (str, optional): What errors call the image; its path if None.

    Raises:
        InputError: See `open_image`.
    """
    path = Path(path)
    name = name or str(path)
    if path.is_dir():
        raise InputError(f'{name} is a folder: name an image file ({", ".join(FORMATS)}).')
    if not path.is_file():
        raise InputError(f'there is no image {name}: name a file ({", ".join(FORMATS)}).')
    try:
        content = read_file(path, MAX_IMAGE_BYTES)
    except (OSError, Unreadable) as error:
        raise InputError(f'{name} cannot be read: {error}.') from error
    if not content:
        raise InputError(f'{name} is empty.')
    with decoding(name, SAVE_AGAIN, max_pixels):
        opened = Image.open(io.BytesIO(content), formats=FORMATS)
    with opened:
        reason = why_refused(content, *opened.size)
        if reason and opened.width * opened.height <= max_pixels:
            raise InputError(f'{name} is not decoded: {reason}. Make it smaller, or save it as a plain PNG or JPEG.')
        return decoded(opened, convert, max_pixels, name)


def decoded(
    image: Image.Image,
    convert: Callable[[Image.Image], Image.Image],
    max_pixels: int = MAX_PIXELS,
    name: str = 'the image',
) -> Image.Image:
    """Turn an opened image upright and convert it with `convert`; see `decode_image`.

    Raises:
        InputError: If it has no pixels or too many, which is checked before they are decoded, or is broken.
    """
    if image.width * image.height > max_pixels:
        raise InputError(
            f'{name} has {image.width} x {image.height} pixels, which is more than {max_pixels}: make it smaller.'
        )
    if not image.width * image.height:
        raise InputError(f'{name} has no pixels, its size is {image.width} x {image.height}: give another one.')
    note_depth(image)
    with decoding(name, SAVE_AGAIN):
        # exif_transpose copies the image even where there is nothing to turn.
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        return convert(ImageOps.exif_transpose(image) if turned else image)


def as_rgb(image: Image.Image, background: str | None = DEFAULT_BACKGROUND) -> Image.Image:
    """Convert `image` to 8 bits and mode RGB, or RGBA if `background` is None and some pixels are transparent.

    16 bits become 8, and grey, palettes and CMYK become RGB. Transparent pixels show `background`. Colour profiles are
    ignored.

    Raises:
        ValueError: If that is not possible; an Unreadable if no value is defined as white.
    """
    image = in_eight_bits(image, lambda values: (values.astype(np.uint32) + 128) // 257)  # to the nearest
    if background is not None:
        return flattened(image, background)
    layered = with_alpha(image)
    return image.convert('RGB') if layered is None else layered


def flattened(image: Image.Image, background: str = DEFAULT_BACKGROUND) -> Image.Image:
    """Composite `image`, of 8 bits, on `background`, a colour as `check_background` takes it; return mode RGB."""
    return opaque(image, check_background(background))[0]


def fit_image(image: Image.Image, channels: int, size: Size) -> np.ndarray:
    """Crop the middle of `image` in the shape of `size` and scale it: (height, width, channels), uint8.

    It is cropped before it is scaled, so that masks and results belong to exactly this part (`seen_part`). The scaling
    is that of `CenterCropToSize`, as in training. An image of that size stays as it is.

    Args:
        image (Image): An image.
        channels (int): 3, or 1 for grey (ITU-R BT.601).
        size (int | Sequence[int]): Of the result in pixels: the side of a square, or (height, width).
    """
    pixels = np.asarray(image.crop(seen_part(image, size)).convert('L' if channels == 1 else 'RGB'))
    return CenterCropToSize(size).transform(dict(img=pixels))['img'].reshape(*height_and_width(size), channels)


def scale_image(image: Image.Image, channels: int, box: Box, height: int, width: int) -> np.ndarray:
    """Crop the part `box` of `image` and scale it bicubically: (height, width, channels), uint8.

    Args:
        image (Image): An image.
        channels (int): 3, or 1 for grey (ITU-R BT.601).
        box (tuple[int, int, int, int]): Left, top, right and bottom in pixels.
        height (int): Of the result in pixels.
        width (int): Of the result in pixels.
    """
    part = image.crop(box).convert('L' if channels == 1 else 'RGB')
    return np.asarray(part.resize((width, height), Image.Resampling.BICUBIC)).reshape(height, width, channels)


def fit_mask(mask: Image.Image, size: Size) -> np.ndarray:
    """Crop the `seen_part` of `mask`, of mode L, and scale it with `scale_mask`: (height, width, 1), uint8."""
    return scale_mask(np.asarray(mask.crop(seen_part(mask, size))), *height_and_width(size))


def scale_mask(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale the mask `pixels` (H, W) for the model: (height, width, 1), uint8.

    A pixel is as white as the whitest pixel that it covers: thin lines count, and no pixel at the edge of a mask counts
    as known, except those that the scaling of the image smears a little further.
    """
    for size in (height, width):  # rows, then columns
        bounds = np.arange(size + 1) * len(pixels)
        pixels = np.stack([pixels[start // size : -(-end // size)].max(0) for start, end in pairwise(bounds)]).T
    return pixels[..., None]


def seen_part(image: Image.Image, size: Size) -> Box:
    """Return the largest part in the middle of `image` that has the shape of `size`, which `fit_image` crops."""
    height, width = height_and_width(size)
    if image.width * height > image.height * width:
        high, wide = image.height, max(1, round(image.height * width / height))
    else:
        high, wide = max(1, round(image.width * height / width)), image.width
    left, top = (image.width - wide) // 2, (image.height - high) // 2
    return left, top, left + wide, top + high


def seen_square(image: Image.Image) -> Box:
    """Return the central square of `image`."""
    return seen_part(image, 1)


@dataclass(frozen=True)
class Place:
    """Where a result belongs: the part of the image that was edited, at the image's own size.

    At an edge of the part that is not an edge of the image, a result fades into the image over `FEATHER` of the part's
    side; with a mask, the result ends where the mask ends.

    Attributes:
        image (Image): The image, of mode RGB or RGBA.
        operator (EditingOperator, optional): What is known of any part of the image; needed without a mask.
        mask (Image, optional): What was edited, of the image's size and of mode L: 255 inside, 0 outside.
        part (tuple[int, int, int, int], optional): Left, top, right and bottom of the part; the central square if None.
    """

    image: Image.Image
    operator: EditingOperator | None = None
    mask: Image.Image | None = None
    part: Box | None = None

    @property
    def box(self) -> Box:
        """Left, top, right and bottom of the part that was edited."""
        return seen_square(self.image) if self.part is None else self.part

    def fills(self, height: int, width: int) -> bool:
        """Return whether a result of this size is the image already: all of it, at its own size, and opaque."""
        return self.image.size == (width, height) and self.box == (0, 0, width, height) and self.image.mode == 'RGB'

    def paste(self, result: np.ndarray) -> Image.Image:
        """Return the image with `result` in its part, scaled to it. What is known keeps the pixels of the image.

        A transparent image stays transparent, except where the mask is white, which becomes opaque.

        Args:
            result (ndarray): The edited part, (H, W, 3), uint8 RGB.

        Returns:
            Image: Of the image's size and mode.
        """
        left, top, right, bottom = self.box
        pasted = self.image.copy()
        enlarged = Image.fromarray(result).resize((right - left, bottom - top), Image.Resampling.LANCZOS)
        height = max(1, STRIP_PIXELS // (right - left))  # in strips, as floating point numbers take much memory
        for start in range(top, bottom, height):
            box = (left, start, right, min(start + height, bottom))
            strip = enlarged.crop((0, start - top, right - left, box[3] - top))
            pasted.paste(self._blended(box, strip), box)
        return pasted

    def _blended(self, box: Box, result: Image.Image) -> Image.Image:
        """Put the known part of the image in `box` back into `result`, of the size of the box and of mode RGB."""
        image = self.image.crop(box)
        before = to_tensor(np.asarray(image.convert('RGB')))
        mask = None if self.mask is None else self.mask.crop(box)
        operator = self.operator if mask is None else Inpainting(as_weights(np.asarray(mask)[..., None]))
        assert operator is not None, 'a place has a mask or an operator'
        kept = operator.keep(before, to_tensor(np.asarray(result)))
        if mask is None:
            kept = before.lerp(kept, torch.from_numpy(self._shares(box)))
        blended = Image.fromarray(
            ((kept[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
        )
        if image.mode == 'RGBA':
            alpha = image.getchannel('A')
            if mask is not None:
                alpha = Image.composite(Image.new('L', mask.size, 255), alpha, mask)
            blended.putalpha(alpha)
        return blended

    def _shares(self, box: Box) -> np.ndarray:
        """Return the share of the result in the pixels of `box`, (H, W), float32, where there is no mask."""
        left, top, right, bottom = self.box
        width, height = self.image.size
        rim = FEATHER * min(right - left, bottom - top)
        far = np.inf  # from an edge of the image
        columns, rows = np.arange(box[0], box[2]) + 0.5, np.arange(box[1], box[3]) + 0.5
        across = np.minimum(columns - left if left else far, right - columns if right < width else far)
        down = np.minimum(rows - top if top else far, bottom - rows if bottom < height else far)
        across, down = (np.broadcast_to(far_off, len(pixels)) for far_off, pixels in ((across, columns), (down, rows)))
        return (np.minimum(down[:, None], across[None]) / rim).clip(0, 1).astype(np.float32)


def as_weights(pixels: np.ndarray) -> Tensor:
    """Return the mask `pixels` (H, W, 1), uint8, as `Inpainting` takes it: (1, 1, H, W) in [0, 1]."""
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]


def to_tensor(pixels: np.ndarray) -> Tensor:
    """Return `pixels` (H, W, C), uint8, as an image (1, C, H, W) in [-1, 1]."""
    return torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
