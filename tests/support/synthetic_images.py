"""Synthetic generated and real images, a network with exact arithmetic, and their metrics in several processes."""

import hashlib
import json
import sys

import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import Evaluator
from torch import nn
from torch.utils.data import Dataset

from mmcm.evaluation.features.base import Features, fingerprint_of
from mmcm.registry import DATASETS, METRICS, MODELS
from mmcm.structures import DataSample
from mmcm.utils.errors import InputError

SIZE, NUM_CLASSES, FEATURES, SPATIAL = 8, 5, 12, 18


@MODELS.register_module(force=True)
class IntegerNetwork(nn.Module):
    """Features that are whole numbers over a power of two: no order of summation changes them.

    Args:
        seed (int): Of the weights.
        without (Sequence[str]): Fields that it does not make.
    """

    built = 0

    def __init__(self, seed=0, without=()):
        super().__init__()
        self.seed, self.without = seed, without
        self.weight = nn.Parameter(torch.zeros(3 * SIZE**2, FEATURES), requires_grad=False)
        self.head = nn.Parameter(torch.zeros(FEATURES, NUM_CLASSES), requires_grad=False)
        IntegerNetwork.built += 1

    def init_weights(self):
        random = np.random.RandomState(self.seed)
        for weight in (self.weight, self.head):
            weight.copy_(torch.from_numpy(random.randint(-2, 3, weight.shape)))
        self.fingerprint = fingerprint_of(self)
        self.calls = 0

    def extract(self, images):
        self.calls += 1
        features = (images.flatten(1).float() @ self.weight / 2**9).abs()
        made = Features(features, features @ self.head / 2, images[:, :2, :3, :3].float() / 2**6)
        return made._replace(**dict.fromkeys(self.without))


@DATASETS.register_module(force=True)
class MadeUpImages(Dataset):
    """Images that are noise around an image of their class; the one at `corrupt` cannot be read."""

    def __init__(self, number=90, seed=0, brightness=0, corrupt=None):
        random = np.random.RandomState(seed)
        self.labels = np.arange(number) % NUM_CLASSES
        classes = np.random.RandomState(1234).uniform(50, 150, (NUM_CLASSES, 3, SIZE, SIZE))
        noisy = classes[self.labels] + brightness + 20 * random.randn(number, 3, SIZE, SIZE)
        self.images = torch.from_numpy(noisy.clip(0, 255).astype(np.uint8))
        self.fingerprint = hashlib.sha256(f'{number} {seed} {brightness}'.encode()).hexdigest()
        self.corrupt = corrupt

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        if index == self.corrupt:
            raise InputError(f'image {index} is corrupt')
        return dict(inputs=self.images[index], gt_label=int(self.labels[index]))


EXTRACTOR = dict(type='IntegerNetwork')
REAL = dict(type='MadeUpImages', number=77, seed=1)
METRICS_OF_ALL_KINDS = [
    dict(type='FrechetDistance', extractor=EXTRACTOR, reference=REAL),
    dict(type='FrechetDistance', extractor=EXTRACTOR, reference=REAL, which='spatial'),
    dict(type='InceptionScore', extractor=EXTRACTOR, split_size=40),
    dict(type='KernelDistance', extractor=EXTRACTOR, reference=REAL, num_subsets=5, subset_size=30),
    dict(type='PrecisionRecall', extractor=EXTRACTOR, reference=REAL),
    dict(type='LabelAccuracy', extractor=EXTRACTOR),
    dict(type='SlicedWasserstein', reference=REAL, num_projections=20),
]


def drawn(number=101, named=True, **kwargs):
    """Return samples with images, as a model predicts them."""
    images = MadeUpImages(number, seed=2, brightness=10, **kwargs)
    return [
        DataSample.of(label=int(label), fake_img=image, **(dict(sample_idx=index) if named else {}))
        for index, (image, label) in enumerate(zip(images.images, images.labels))
    ]


def measure(metrics, samples, batch_size=16, order=None):
    """Return what `metrics` say of those of `samples` that are this process's."""
    evaluator = Evaluator([METRICS.build(metric) if isinstance(metric, dict) else metric for metric in metrics])
    order = list(DefaultSampler(samples, shuffle=False) if order is None else order)
    for start in range(0, len(order), batch_size):
        evaluator.process([samples[index] for index in order[start : start + batch_size]])
    return evaluator.evaluate(len(samples))


def main(rank, world_size, meeting, tasks):
    """Be one of several processes; print what was measured in each task: how many images, drawn by whom, of what."""
    torch.distributed.init_process_group('gloo', f'file://{meeting}', rank=int(rank), world_size=int(world_size))
    results = []
    for number, orders, reference in json.loads(tasks):
        metrics = [
            {**metric, 'reference': reference} if 'reference' in metric else metric for metric in METRICS_OF_ALL_KINDS
        ]
        try:
            order = None if orders is None else orders[int(rank)]
            results.append(measure(metrics, drawn(number), order=order))
        except ValueError as error:
            results.append(str(error))
    print('\n' + json.dumps(results))
    torch.distributed.destroy_process_group()


if __name__ == '__main__':
    main(*sys.argv[1:])
