"""Grid of a data set: images of its classes, and their number, sizes and colours."""

from collections import Counter
from typing import Any

import numpy as np
import torch

from mmcm.datasets.image_dataset import ImageDataset
from mmcm.utils.checks import check_count
from mmcm.utils.progress import progress_bar
from mmcm.utils.wording import counted
from mmcm.visualization.figures import new_figure, rendered
from mmcm.visualization.grids import CAPTION_HEIGHT, caption, grid, named_grid, on_square

SHOWN_NAME = 24  # letters of a class name beside its row
HISTOGRAM_HEIGHT = 260  # pixels
LEAST_WIDTH = 640  # pixels, so that the histogram can be read


def dataset_sheet(
    data: ImageDataset,
    rows: int = 10,
    columns: int = 10,
    seed: int = 0,
    num_measured: int = 10000,
    side: int = 64,
    progress: bool = False,
) -> tuple[np.ndarray, dict]:
    """Return a grid of a data set.

    Args:
        data (ImageDataset): The data set, which may have images of several sizes.
        rows (int): Classes to show, evenly spread over all; rows of images where there are no classes.
        columns (int): Images of each, chosen at random.
        seed (int): Seed of that choice.
        num_measured (int): How many images sizes and colours are taken of, evenly spread.
        side (int): Larger images are reduced to this side for the grid, smaller ones magnified.
        progress (bool): Whether to show a progress bar on stderr.

    Returns:
        tuple[ndarray, dict]: The grid, (H, W, 3), uint8 RGB, and the numbers on it as plain values; see `measure`.
    """
    for name, value in (('rows', rows), ('columns', columns), ('num_measured', num_measured), ('side', side)):
        check_count(name, value)
    random = np.random.default_rng(seed)
    numbers = measure(data, num_measured, progress)

    def tiles(indices: np.ndarray) -> list[torch.Tensor]:
        chosen = random.choice(indices, min(columns, len(indices)), replace=False) if len(indices) else indices
        images = [on_square(data[int(index)]['inputs'], side) for index in np.sort(chosen)]
        return images + [torch.full((3, side, side), 255, dtype=torch.uint8, device='cpu')] * (columns - len(images))

    if data.labels is None or data.num_classes is None:
        chosen = np.sort(random.choice(len(data), min(rows * columns, len(data)), replace=False))
        pictures = grid([on_square(data[int(index)]['inputs'], side) for index in chosen], columns, side)
        parts = [pictures]
    else:
        classes = np.unique(np.linspace(0, data.num_classes - 1, min(rows, data.num_classes)).round().astype(int))
        names = [
            f'{shortened(data.metainfo["classes"][label])}\n{counted(numbers["images_per_class"][label], "image")}'
            for label in classes
        ]
        pictures = named_grid(
            [tiles(np.flatnonzero(data.labels == label)) for label in classes], names, [''] * columns, side
        )
        parts = [pictures, histogram(numbers['images_per_class'], max(LEAST_WIDTH, pictures.shape[1]))]
    text = described(numbers)
    width = max(LEAST_WIDTH, *(part.shape[1] for part in parts))
    head = caption(width, text, CAPTION_HEIGHT * (text.count('\n') + 2))
    return np.vstack([head, *(widened(part, width) for part in parts)]), numbers


def measure(data: ImageDataset, num_measured: int, progress: bool = False) -> dict[str, Any]:
    """Return what can be counted.

    Returns:
        dict: `num_images`; `num_classes`, None without; `images_per_class`, a list; `num_measured`, the number of
        images that were read; `sizes`, their number by 'width x height'; `channels`; `mean` and `std` of each channel,
        grey levels of 0 to 255.
    """
    chosen = np.unique(np.linspace(0, len(data) - 1, min(num_measured, len(data))).round().astype(np.int64))
    sizes: Counter = Counter()
    totals = torch.zeros(3, 3, dtype=torch.float64, device='cpu')  # of pixels, values and squares, of each channel
    num_channels = 1
    with progress_bar('reading', len(chosen), shown=progress, unit='images') as advance:
        for index in chosen:
            image = data[int(index)]['inputs']
            channels, height, width = image.shape
            num_channels = max(num_channels, channels)
            sizes[f'{width} x {height}'] += 1
            values = image.expand(3, -1, -1).flatten(1).double()
            totals += torch.stack([torch.ones_like(values).sum(1), values.sum(1), values.square().sum(1)])
            advance()
    mean, square = totals[1:] / totals[0]
    counts = None if data.labels is None else np.bincount(data.labels, minlength=data.num_classes or 0).tolist()
    return dict(
        num_images=len(data),
        num_classes=data.num_classes,
        images_per_class=counts,
        num_measured=len(chosen),
        sizes=dict(sizes.most_common()),
        channels=num_channels,
        mean=mean[:num_channels].tolist(),
        std=(square - mean.square()).clamp(min=0).sqrt()[:num_channels].tolist(),
    )


def described(numbers: dict[str, Any]) -> str:
    """Return the numbers of `measure` as lines of text."""
    sizes = [f'{size} ({count})' for size, count in list(numbers['sizes'].items())[:3]]
    if len(sizes) == 1:
        sizes = list(numbers['sizes'])
    more = len(numbers['sizes']) - len(sizes)
    counts = numbers['images_per_class']
    classes = (
        'no classes'
        if counts is None
        else (
            f'{len(counts)} classes of {min(counts)} to {max(counts)} images'
            if min(counts) < max(counts)
            else f'{len(counts)} classes of {counted(counts[0], "image")}'
        )
    )
    measured = '' if numbers['num_measured'] == numbers['num_images'] else f' of {numbers["num_measured"]} images'
    mean, std = (', '.join(f'{value:.1f}' for value in numbers[key]) for key in ('mean', 'std'))
    return '\n'.join(
        [
            f'{numbers["num_images"]} images, {classes}',
            f'pixels{measured}: {", ".join(sizes)}{f" and {more} other sizes" if more else ""}',
            f'grey levels: mean {mean}; standard deviation {std}',
        ]
    )


def histogram(counts: list[int], width: int) -> np.ndarray:
    """Return a plot of the number of images of each class, (H, width, 3), uint8 RGB."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(width, HISTOGRAM_HEIGHT)
    axes = figure.subplots()
    axes.bar(range(len(counts)), counts, width=0.8 if len(counts) <= 100 else 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=20))
    axes.set_xlim(-0.6, len(counts) - 0.4)
    axes.set_xlabel('class')
    axes.set_ylabel('images')
    return rendered(figure)


def shortened(name: str) -> str:
    """Return a name that fits beside a row."""
    return name if len(name) <= SHOWN_NAME else name[: SHOWN_NAME - 3] + '...'


def widened(pixels: np.ndarray, width: int) -> np.ndarray:
    """Return `pixels` (H, W, 3) in the middle of a white strip of `width`."""
    rim = width - pixels.shape[1]
    return np.pad(pixels, ((0, 0), (rim // 2, rim - rim // 2), (0, 0)), constant_values=255)
