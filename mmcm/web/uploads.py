"""Uploads of visitors: only uploaded files are read, and their limits are checked before decoding."""

import html
from abc import ABCMeta
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.component_meta import ComponentMeta, updateable
from gradio.components.image_editor import EditorData
from gradio.data_classes import FileData
from gradio.exceptions import ComponentProcessingError
from gradio.utils import get_upload_folder, is_in_or_equal
from gradio_client.utils import is_file_obj, traverse
from PIL import Image

from mmcm.apis.editing.images import as_rgb, decode_image
from mmcm.utils.errors import InputError
from mmcm.web.limits import Limits
from mmcm.web.request_values import check_values
from mmcm.web.streaming import shown_error


class UploadsOnly(gr.Blocks):
    """Blocks that read only uploaded files of a request.

    Gradio itself downloads an address in place of a file's path, for any component.
    """

    async def preprocess_data(self, block_fn: Any, inputs: list, *args: Any, **kwargs: Any) -> list:
        """See `gr.Blocks`; raise a gr.Error of one line if the values cannot be used."""
        check_values(block_fn.inputs, inputs)
        traverse(inputs, check_uploaded, is_file_obj)
        try:
            return await super().preprocess_data(block_fn, inputs, *args, **kwargs)
        except gr.Error as error:
            raise shown_error(html.unescape(error.message)) from error
        except (ValueError, TypeError, KeyError, AttributeError, ComponentProcessingError) as error:
            raise shown_error('A value of the request cannot be read.') from error  # such as of half an image


def check_uploaded(file: dict) -> dict:
    """Return the `file` of a request if it lies in the folder of uploads; raise a gr.Error otherwise."""
    if not is_in_or_equal(file['path'], get_upload_folder()):
        raise gr.Error('The request names a file that was not uploaded.', print_exception=False)
    return file


class Unwritten(ComponentMeta):
    """Gradio's metaclass of components, without writing a stub file (.pyi) beside the module."""

    def __new__(cls, name: str, bases: tuple, attributes: dict) -> type:
        """See `ComponentMeta`."""
        return ABCMeta.__new__(cls, name, bases, {**attributes, '__init__': updateable(attributes['__init__'])})


@dataclass(frozen=True)
class Painted:
    """An image and the paint on it, all of one size.

    Attributes:
        background (Image, optional): The image, of mode RGB; None for paint on a blank canvas.
        mask (Image, optional): 255 under paint and 0 elsewhere, of mode L; None without paint.
        sketch (Image, optional): The image, or a white canvas, with the paint on it, of mode RGB; None without both.
    """

    background: Image.Image | None = None
    mask: Image.Image | None = None
    sketch: Image.Image | None = None


class PaintedPicture(gr.ImageEditor, metaclass=Unwritten):
    """An image to paint on, in one layer; an event's function gets it as `Painted`.

    The browser applies the EXIF orientation, and sends paint in the size of the image.

    Args:
        limits (Limits): Limits of the image.
        options: See `gr.ImageEditor`.
    """

    is_template = True  # the page shows it as an ImageEditor
    accept_blobs = None  # otherwise, a page could fill the memory with every change of the image

    def __init__(self, limits: Limits, **options: Any) -> None:
        self.limits = limits
        super().__init__(**options)

    def get_config(self, cls: type | None = None) -> dict[str, Any]:
        """Return the config for the page, from the parameters of `gr.ImageEditor`."""
        return super().get_config(cls or gr.ImageEditor)

    def preprocess(self, payload: EditorData | None) -> Painted:
        """Return the paint of a request; raise a gr.Error if its files cannot be used."""
        try:
            return self.read(payload or EditorData())
        except InputError as error:
            raise shown_error(str(error)) from error

    def read(self, payload: EditorData) -> Painted:
        """See `preprocess`; raises InputErrors."""
        if len(payload.layers) > 1:
            raise InputError(f'one layer of paint is taken, got {len(payload.layers)}.')
        background, paint = None, None
        if payload.background is not None:
            background = self.decode(payload.background, 'the upload', lambda image: as_rgb(image, 'white'))
        for layer in payload.layers:
            paint = self.decode(layer, 'the paint', lambda image: as_rgb(image, None).convert('RGBA'))
        if paint is None or paint.getchannel('A').getbbox() is None:
            return Painted(background, None, background)
        if background is not None and background.size != paint.size:
            raise InputError(
                f'the paint is of {paint.width} x {paint.height} pixels and the image of '
                f'{background.width} x {background.height}: they have to be of one size.'
            )
        mask = paint.getchannel('A').point(lambda opacity: 255 if opacity else 0)
        sketch = Image.new('RGB', paint.size, 'white') if background is None else background.copy()
        sketch.paste(paint, mask=paint)
        return Painted(background, mask, sketch)

    def decode(self, file: FileData, name: str, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
        """Decode and `convert` a file, called `name` in messages, unless it is too large."""
        path = Path(file.path)
        most = self.limits.upload_bytes
        if path.is_file() and path.stat().st_size > most:
            raise InputError(f'{name} has {path.stat().st_size} bytes, more than {most}: make it smaller.')
        return decode_image(path, convert, self.limits.upload_pixels, name)
