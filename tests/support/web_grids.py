"""Tiles of the grids of the web demo."""

import numpy as np
from PIL import Image

GAP, CAPTION = 4, 16


def tiles(path, count, columns, side, captions=True):
    """Return the pictures of a sheet, one pixel for each block, (N, 8, 8, 3); each is `side` pixels wide."""
    sheet = np.asarray(Image.open(path))
    found = []
    for index in range(count):
        top = GAP + index // columns * (side + GAP + CAPTION * captions)
        left = GAP + index % columns * (side + GAP)
        tile = sheet[top : top + side, left : left + side]
        factor = side // 8
        small = tile[::factor, ::factor]
        assert np.array_equal(small.repeat(factor, 0).repeat(factor, 1), tile)  # not blurred
        found.append(small)
    return np.stack(found)


def pixels(drawing):
    """Return the pictures of a drawing as `tiles` has them."""
    found = drawing.pixels.permute(0, 2, 3, 1).numpy()
    return found.repeat(3, -1) if found.shape[-1] == 1 else found
