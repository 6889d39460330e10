"""Pictures in folders, for tests of what reads them."""
import cv2
import numpy as np


def write_folder(folder, count=20, size=(6, 8)):
    """Write PNGs of noise, image i as {'a' or 'b'}/{i:03d}.png, and return `folder`."""
    random = np.random.RandomState(0)
    for index in range(count):
        path = folder / 'ab'[index % 2] / f'{index:03d}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), random.randint(0, 256, (*size, 3), np.uint8))
    return folder


def files(folder):
    """Return the names of the files right in `folder`, hidden ones too."""
    return sorted(path.name for path in folder.iterdir() if path.is_file())
