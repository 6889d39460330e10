"""Image files, of which programs may write the same pixels with other records."""

from PIL import Image


def pixels(path):
    """Return the size, the mode and the pixels of an image file."""
    with Image.open(path) as image:
        return image.size, image.mode, image.tobytes()
