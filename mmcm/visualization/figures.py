"""Figures of Matplotlib as pixels, without a window, and their labels."""

import warnings
from typing import TYPE_CHECKING

import numpy as np

from mmcm.visualization.grids import drawable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 100  # pixels per inch


def new_figure(width: int, height: int) -> 'Figure':
    """Return an empty figure of `width` x `height` pixels, whose layout cuts off no label."""
    from matplotlib.figure import Figure  # here, since the import is slow

    return Figure((width / DPI, height / DPI), DPI, layout='constrained')


def literal(name: str) -> str:
    """Escape a name for Matplotlib, with ? for bytes that are no characters."""
    return drawable(name).replace('$', r'\$')


def rendered(figure: 'Figure') -> np.ndarray:
    """Render `figure` to pixels, (H, W, 3), uint8 RGB; letters that the font lacks are boxes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Glyph .* missing from')
        canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]
