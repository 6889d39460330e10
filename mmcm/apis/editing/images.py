"""A user's picture, whatever its format and size, as a model takes it."""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from mmcm.datasets.transforms.center_crop import CenterCropToSquare
from mmcm.datasets.transforms.eight_bits import in_eight_bits, note_depth
from mmcm.datasets.transforms.load_image import DEFAULT_BACKGROUND, check_background, opaque, with_alpha
from mmcm.operators.base import EditingOperator
from mmcm.utils.bounded import Unreadable, read_file
from mmcm.utils.errors import InputError
from mmcm.utils.image_limits import FORMATS, MAX_IMAGE_BYTES, MAX_PIXELS, why_refused

FEATHER = 1 / 16  # of the shorter side of a part of a picture
STRIP_PIXELS = 2**20  # of a picture that are worked at together

Box = tuple[int, int, int, int]  # left, top, right and bottom, in pixels


def read_picture(path: str | Path, background: str | None = DEFAULT_BACKGROUND) -> Image.Image:
    """Read the picture, or the first of those, in a file, turned as its EXIF data says; see `as_rgb`.

    Args:
        path (str | Path): The file.
        background (str, optional): What a transparent picture is composited on, a colour as `check_background` takes
            it; None keeps the transparency.

    Returns:
        Image: Of mode RGB, or RGBA where transparency is kept and there is some.

    Raises:
        InputError: If there is no such file, it is no picture, it is broken, or it has too many pixels, which is known
            before they are decoded.
    """
    return decode_picture(path, lambda image: as_rgb(image, background))


def decode_picture(
    path: str | Path,
    convert: Callable[[Image.Image], Image.Image],
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
) -> Image.Image:
    """Return what `convert` makes of the picture in a file, which is upright, but of any mode.

    Args:
        path (str | Path): The file.
        convert (Callable): From an image to an image; whatever it raises means that the picture is of no use.
        max_pixels (int): How many pixels it may have.
        name (str, optional): What errors call it; its path if None.

    Raises:
        InputError: See `read_picture`.
    """
    path = Path(path)
    name = name or str(path)
    if path.is_dir():
        raise InputError(f'{name} is a folder: name a picture file ({", ".join(FORMATS)}).')
    if not path.is_file():
        raise InputError(f'there is no picture {name}: name a file ({", ".join(FORMATS)}).')
    try:
        content = read_file(path, MAX_IMAGE_BYTES)
    except (OSError, Unreadable) as error:
        raise InputError(f'{name} cannot be read: {error}.') from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)  # our own limit is lower
            opened = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise too_large(name, max_pixels) from error
    except UnidentifiedImageError as error:
        raise InputError(
            f'{name} is no picture that can be read ({", ".join(FORMATS)}), whatever its name says.'
            if content
            else f'{name} is empty.'
        ) from error
    except Exception as error:  # a decoder raises whatever comes to its mind at a broken file, here and below
        raise broken(name, error) from error
    with opened:
        reason = why_refused(content, *opened.size)
        if reason and opened.width * opened.height <= max_pixels:
            raise InputError(f'{name} is not decoded: {reason}. Make it smaller, or save it as a plain PNG or JPEG.')
        return decoded(opened, convert, max_pixels, name)


def decoded(
    image: Image.Image,
    convert: Callable[[Image.Image], Image.Image],
    max_pixels: int = MAX_PIXELS,
    name: str = 'the picture',
) -> Image.Image:
    """Return what `convert` makes of an image that may still lie in a file; see `decode_picture`.

    Raises:
        InputError: If it has no pixels or too many of them, which is known before they are decoded, or is broken.
    """
    if image.width * image.height > max_pixels:
        raise too_large(name, max_pixels, f'{image.width} x {image.height} pixels, which is ')
    if not image.width * image.height:
        raise InputError(f'{name} has no pixels, its size is {image.width} x {image.height}: give another one.')
    note_depth(image)
    try:
        # Which copies where there is nothing to turn, too.
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        return convert(ImageOps.exif_transpose(image) if turned else image)
    except Unreadable as error:
        raise InputError(f'{name} is not read, {error}: save it in 8 bits.') from error
    except Exception as error:
        raise broken(name, error) from error


def as_rgb(image: Image.Image, background: str | None = DEFAULT_BACKGROUND) -> Image.Image:
    """Return `image` in 8 bits, of mode RGB, or RGBA if `background` is None and it is transparent somewhere.

    16 bits become 8. What is transparent shows `background`. Grey, palettes and CMYK become RGB. Colour profiles are
    not looked at.

    Raises:
        ValueError: If that cannot be done, an Unreadable if values have no white.
    """
    image = in_eight_bits(image, lambda values: (values.astype(np.uint32) + 128) // 257)  # to the nearest
    if background is not None:
        return flattened(image, background)
    layered = with_alpha(image)
    return image.convert('RGB') if layered is None else layered


def flattened(image: Image.Image, background: str = DEFAULT_BACKGROUND) -> Image.Image:
    """Return `image`, of 8 bits, in mode RGB: composited on `background`, a colour as `check_background` takes it."""
    return opaque(image, check_background(background))[0]


def fit_picture(image: Image.Image, channels: int, size: int) -> np.ndarray:
    """Return the central square of `image`, scaled: (size, size, channels), uint8.

    It is cut out before it is scaled, so that masks and results belong to just this square (`seen_square`). The scaling
    is `CenterCropToSquare`'s, as in training. A picture of that size stays as it is.

    Args:
        image (Image): A picture.
        channels (int): 3, or 1 for grey (ITU-R BT.601).
        size (int): Height and width of the result in pixels.
    """
    pixels = np.asarray(image.crop(seen_square(image)).convert('L' if channels == 1 else 'RGB'))
    return CenterCropToSquare(size).transform(dict(img=pixels))['img'].reshape(size, size, channels)


def scaled_picture(image: Image.Image, channels: int, box: Box, height: int, width: int) -> np.ndarray:
    """Return the part `box` of `image`, scaled bicubically: (height, width, channels), uint8.

    Args:
        image (Image): A picture.
        channels (int): 3, or 1 for grey (ITU-R BT.601).
        box (tuple[int, int, int, int]): Left, top, right and bottom in pixels.
        height, width (int): Of the result in pixels.
    """
    part = image.crop(box).convert('L' if channels == 1 else 'RGB')
    return np.asarray(part.resize((width, height), Image.Resampling.BICUBIC)).reshape(height, width, channels)


def fit_mask(mask: Image.Image, size: int) -> np.ndarray:
    """Return the central square of `mask`, of mode L, as `scaled_mask` has it: (size, size, 1), uint8."""
    return scaled_mask(np.asarray(mask.crop(seen_square(mask))), size, size)


def scaled_mask(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the mask `pixels` (H, W) as the model sees it: (height, width, 1), uint8.

    A pixel is as white as the whitest of those that it covers, so that thin lines count, and what is to be drawn anew
    does not remain at its edge, but for what the scaling of the picture smears a little further.
    """
    for size in (height, width):  # rows, then columns
        bounds = np.arange(size + 1) * len(pixels)
        pixels = np.stack([pixels[start // size : -(-end // size)].max(0) for start, end in zip(bounds, bounds[1:])]).T
    return pixels[..., None]


def seen_square(picture: Image.Image) -> Box:
    """Return the central square that `fit_picture` shows of `picture`."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return left, top, left + side, top + side


@dataclass(frozen=True)
class Place:
    """Where a result belongs: in the part of the picture that was edited, at the picture's own size.

    Inside of an edge that is not one of the picture, a result fades into the picture over `FEATHER` of the part's side;
    where there is a mask, its edges are those of the result.

    Attributes:
        picture (Image): The picture, of mode RGB or RGBA.
        operator (Callable): Returns what is known of a part of the picture, an `EditingOperator`, from the mask of that
            part, (1, 1, H, W) in [0, 1], or from None where there is no mask.
        mask (Image, optional): What was to be drawn, of the picture's size and of mode L: 255 in its inside, 0 outside.
        part (tuple[int, int, int, int], optional): Left, top, right and bottom of the part; the central square if None.
    """

    picture: Image.Image
    operator: Callable[[Tensor | None], EditingOperator]
    mask: Image.Image | None = None
    part: Box | None = None

    @property
    def box(self) -> Box:
        """Left, top, right and bottom of the part that was edited."""
        return seen_square(self.picture) if self.part is None else self.part

    def fills(self, height: int, width: int) -> bool:
        """Return whether a result of this size is the picture already: all of it, at its own size, and opaque."""
        return self.picture.size == (width, height) and self.box == (0, 0, width, height) and self.picture.mode == 'RGB'

    def paste(self, result: np.ndarray) -> Image.Image:
        """Return the picture with `result` in its part, scaled to it. What is known keeps the pixels of the picture.

        A transparent picture stays transparent, but for what the mask has drawn anew, which is opaque.

        Args:
            result (ndarray): What became of the part, (H, W, 3), uint8 RGB.

        Returns:
            Image: Of the picture's size and mode.
        """
        left, top, right, bottom = self.box
        pasted = self.picture.copy()
        enlarged = Image.fromarray(result).resize((right - left, bottom - top), Image.Resampling.LANCZOS)
        height = max(1, STRIP_PIXELS // (right - left))  # in strips, as floating point numbers take much memory
        for start in range(top, bottom, height):
            box = (left, start, right, min(start + height, bottom))
            drawn = enlarged.crop((0, start - top, right - left, box[3] - top))
            pasted.paste(self._blended(box, drawn), box)
        return pasted

    def _blended(self, box: Box, drawn: Image.Image) -> Image.Image:
        """Return what is known of the picture in `box`, and the rest from `drawn`, of its size and of mode RGB."""
        picture = self.picture.crop(box)
        mask = None if self.mask is None else self.mask.crop(box)
        operator = self.operator(None if mask is None else as_weights(np.asarray(mask)[..., None]))
        kept = operator.keep(to_tensor(np.asarray(picture.convert('RGB'))), to_tensor(np.asarray(drawn)))
        if self.mask is None:
            shares = torch.from_numpy(self._shares(box))
            kept = to_tensor(np.asarray(picture.convert('RGB'))).lerp(kept, shares)
        pixels = ((kept[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
        blended = Image.fromarray(pixels)
        if picture.mode == 'RGBA':
            alpha = picture.getchannel('A')
            if mask is not None:
                alpha = Image.composite(Image.new('L', mask.size, 255), alpha, mask)
            blended.putalpha(alpha)
        return blended

    def _shares(self, box: Box) -> np.ndarray:
        """Return the share of the result in the pixels of `box`, (H, W), float32, where there is no mask."""
        left, top, right, bottom = self.box
        width, height = self.picture.size
        rim = FEATHER * min(right - left, bottom - top)
        far = np.inf  # from an edge that is one of the picture
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


def too_large(name: str, max_pixels: int, size: str = 'more pixels than can be read, ') -> InputError:
    """Return the error of a picture that is not to be decoded."""
    return InputError(f'{name} has {size}more than {max_pixels}: make it smaller.')


def broken(name: str, error: Exception) -> InputError:
    """Return the error of a picture whose decoder raised `error`."""
    return InputError(
        f'{name} cannot be decoded, it is broken or of an unusual kind: {error}. Save it again as a PNG file.'
    )
