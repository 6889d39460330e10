"""Plots as pixels, without a window, and words that stand on pictures."""

import warnings
from typing import TYPE_CHECKING

import numpy as np

from mmcm.visualization.grids import drawable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 100  # pixels per inch


def new_figure(width: int, height: int) -> 'Figure':
    """Return an empty figure of so many pixels, whose parts are moved so that no label is cut off."""
    from matplotlib.figure import Figure  # here, since it takes long

    return Figure((width / DPI, height / DPI), DPI, layout='constrained')


def literal(name: str) -> str:
    """Return a name as Matplotlib shows it, letter by letter, with ? for bytes of a name that are no characters."""
    return drawable(name).replace('$', r'\$')


def rendered(figure: 'Figure') -> np.ndarray:
    """Return the picture of `figure`, (H, W, 3), uint8 RGB; letters that the font lacks are boxes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Glyph .* missing from')
        canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: '1 image', '2 images'."""
    return f'{number} {noun}{"s" * (number != 1)}'
