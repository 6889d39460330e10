"""Time the training loader: images/s of packed ImageNet-64, and of JPEGs beside bare OpenCV in the same processes.

Bare OpenCV decodes a file and scales it to a square, without cropping, and is measured twice. `INTER_AREA` is the peer:
it smooths, as the box and bicubic filters of the released models' data do. OpenCV's default, `INTER_LINEAR`, reads four
pixels of some thirty when it scales 375 x 500 to 64 x 64: faster, but aliased. It shows what the filter costs.
"""

import statistics
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmcm.apis.data.packing import pack
from mmcm.datasets import DigitsDataset, ImageNet64
from mmcm.datasets.imagenet64 import SPLITS
from mmcm.registry import DATASETS

SIDE = 64
JPEG_SIZE = (375, 500)  # of most photographs of ImageNet
JPEG_BATCH = 64


@DATASETS.register_module()
class BareJPEGs(Dataset):
    """The peer: OpenCV alone decodes a file and scales it.

    Args:
        data_root (str): The folder.
        interpolation (int): OpenCV's number of the filter.
    """

    def __init__(self, data_root: str, interpolation: int) -> None:
        self.paths = sorted(map(str, Path(data_root).rglob('*.jpg')))
        self.interpolation = interpolation

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict:
        """Return one image as ours do."""
        image = cv2.imdecode(np.fromfile(self.paths[index], np.uint8), cv2.IMREAD_COLOR)
        image = cv2.resize(image, (SIDE, SIDE), interpolation=self.interpolation)
        return dict(inputs=torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))), gt_label=None)


def write_imagenet64(folder: Path, count: int) -> None:
    """Write `count` random images as the files of the downsampled ImageNet."""
    random = np.random.RandomState(0)
    for path, part in zip(SPLITS['train'], np.array_split(np.arange(count), len(SPLITS['train']))):
        data = random.randint(0, 256, (len(part), 3 * SIDE**2), np.uint8)
        np.savez(folder / path, data=data, labels=part % 1000 + 1, mean=data.mean(0))


def write_jpegs(folder: Path, count: int) -> None:
    """Write `count` JPEGs of quality 90 and about 100 kB, like those of ImageNet."""
    random = np.random.RandomState(0)
    for index in range(count):
        image = sum(
            cv2.resize(random.randint(0, 256, (size, size, 3), np.uint8), JPEG_SIZE[::-1]) * weight
            for size, weight in ((6, 0.35), (60, 0.25), (400, 0.4))
        )
        path = folder / f'class_{index % 10}' / f'{index}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])


def loader(dataset: object, batch_size: int, workers: int) -> Iterator:
    """Return an iterator over the batches that MMEngine's training loop gets."""
    config = dict(
        batch_size=batch_size,
        num_workers=workers,
        persistent_workers=workers > 0,
        dataset=dataset,
        sampler=dict(type='InfiniteSampler', shuffle=True),
        collate_fn=dict(type='mmcm.stack_samples'),
    )
    return iter(Runner.build_dataloader(config, seed=0))


def rate(batches: Iterator, count: int) -> float:
    """Return images/s over `count` batches, after the prefetched ones."""
    for _ in range(count // 4):
        next(batches)
    started = time.perf_counter()
    num_images = sum(len(next(batches)['inputs']) for _ in range(count))
    return num_images / (time.perf_counter() - started)


def report(name: str, batches: Iterator, rounds: int, count: int) -> None:
    """Print the images/s of a loader."""
    rate(batches, count)  # the first time includes the start of processes and the disk
    rates = sorted(rate(batches, count) for _ in range(rounds))
    print(f'{name}: {statistics.median(rates):.0f} images/s ({rates[0]:.0f} to {rates[-1]:.0f})', flush=True)


def compare(name: str, ours: dict, bare: dict, args: Namespace) -> None:
    """Print the images/s of two data sets of JPEGs, measured in turn, and their ratio."""
    loaders = [loader(dataset, JPEG_BATCH, args.workers) for dataset in (ours, bare)]
    count = max(1, args.jpegs // JPEG_BATCH)
    for batches in loaders:
        rate(batches, count)
    rates = [[rate(batches, count) for batches in loaders] for _ in range(args.rounds)]
    ratios = sorted(first / second for first, second in rates)
    medians = [statistics.median(column) for column in zip(*rates)]
    print(
        f'{name}: {medians[0]:.0f} / {medians[1]:.0f} images/s, ratio {statistics.median(ratios):.3f} '
        f'({ratios[0]:.3f} to {ratios[-1]:.3f})',
        flush=True,
    )


def main() -> None:
    """Run the benchmark."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', type=int, default=100000)
    parser.add_argument('--jpegs', type=int, default=2000)
    parser.add_argument('--batch-size', type=int, default=256)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--folder', help='where to write the data, 2.5 GB; default: the temporary folder')
    args = parser.parse_args()
    torch.set_num_threads(1)
    init_default_scope('mmcm')
    with TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        count = max(1, 20000 // args.batch_size)  # batches of a round
        if args.images:
            write_imagenet64(folder, args.images)
            pack(ImageNet64(name), folder / 'pack.npz')
            packed = dict(type='ImagePack', data_file=f'{name}/pack.npz')
            for dataset in (dict(type='ImageNet64', data_root=name), packed):
                for flip in (False, True):
                    batches = loader({**dataset, 'flip': flip}, args.batch_size, args.workers)
                    report(f'{dataset["type"]}, flip={flip}', batches, args.rounds, count)
                    del batches
        report('digits, in this process', loader(DigitsDataset(), 32, 0), args.rounds, 1000)
        if args.jpegs:
            write_jpegs(folder / 'jpegs', args.jpegs)
            pipeline = [dict(type='LoadImage'), dict(type='CenterCropToSquare', size=SIDE), dict(type='PackImage')]
            ours = dict(type='ImageFolder', data_root=f'{name}/jpegs', pipeline=pipeline)
            for interpolation in ('INTER_AREA', 'INTER_LINEAR'):
                bare = dict(type='BareJPEGs', data_root=f'{name}/jpegs', interpolation=getattr(cv2, interpolation))
                compare(f'JPEGs, bare OpenCV with {interpolation}', ours, bare, args)


if __name__ == '__main__':
    main()
