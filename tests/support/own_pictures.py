"""Folders of images as users have them, made from shapes, digits and the photographs of scikit-learn."""

import math

import cv2
import numpy as np
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits, load_sample_images

SHAPES = ('circle', 'square', 'star')


def write_icons(folder, count=30, side=72):
    """Write RGBA icons with transparent corners in three folders of classes; return `folder`."""
    random = np.random.RandomState(0)
    for index in range(count):
        shape = SHAPES[index % len(SHAPES)]
        colour = (*random.randint(0, 200, 3).tolist(), 255)
        image = Image.new('RGBA', (side, side))
        radius, middle = side * random.uniform(0.3, 0.45), side / 2
        draw = ImageDraw.Draw(image)
        box = (middle - radius, middle - radius, middle + radius, middle + radius)
        if shape == 'circle':
            draw.ellipse(box, fill=colour)
        elif shape == 'square':
            draw.rectangle(box, fill=colour)
        else:
            turns = [math.pi * (point / 5 - 0.5) for point in range(10)]
            lengths = [radius * (1, 0.45)[point % 2] for point in range(10)]
            draw.polygon(
                [
                    (middle + length * math.cos(turn), middle + length * math.sin(turn))
                    for turn, length in zip(turns, lengths)
                ],
                fill=colour,
            )
        path = folder / shape / f'{index:03d}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    return folder


def write_photo_crops(folder, count=400, size=(96, 144)):
    """Write JPEGs of random crops (height x width) of two photographs; return `folder`."""
    random = np.random.RandomState(0)
    folder.mkdir(parents=True, exist_ok=True)
    photographs = load_sample_images().images
    for index in range(count):
        photograph = photographs[index % 2]
        top, left = (random.randint(0, whole - part) for whole, part in zip(photograph.shape, size))
        crop = photograph[top : top + size[0], left : left + size[1], ::-1]
        cv2.imwrite(str(folder / f'{index:05d}.jpg'), crop)
    return folder


def write_deep_grey(folder, count=300, side=16):
    """Write grey PNGs of 16 bits, digits of scikit-learn; return `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, digit in enumerate(load_digits().images[:count]):
        levels = (digit / 16 * 65535).astype(np.uint16)
        levels = cv2.resize(levels, (side, side), interpolation=cv2.INTER_LINEAR)
        cv2.imwrite(str(folder / f'{index:04d}.png'), levels)
    return folder


def write_flawed(folder, count=40, side=32):
    """Write one class with two copies of an image and a broken file; return `folder` and the names of the three."""
    write_photo_crops(folder / 'flower', count, (side, side))
    first = folder / 'flower' / '00000.jpg'
    copies = [folder / 'flower' / name for name in ('copy_a.jpg', 'copy_b.jpg')]
    for copy in copies:
        copy.write_bytes(first.read_bytes())
    broken = folder / 'flower' / 'broken.jpg'
    broken.write_bytes(first.read_bytes()[:300])
    return folder, [*copies, broken]
