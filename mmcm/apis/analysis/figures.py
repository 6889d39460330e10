"""Plots as pixels, without a window, and words that stand on pictures."""
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 100  # pixels per inch


def new_figure(width: int, height: int) -> 'Figure':
    """Return an empty figure of so many pixels, whose parts are moved so that no label is cut off."""
    from matplotlib.figure import Figure  # here, since it takes long
    return Figure((width / DPI, height / DPI), DPI, layout='constrained')


def rendered(figure: 'Figure') -> np.ndarray:
    """Return the picture of `figure`, (H, W, 3), uint8 RGB."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: '1 image', '2 images'."""
    return f'{number} {noun}{"s" * (number != 1)}'
