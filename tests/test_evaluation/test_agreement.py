"""All metrics are those that numpy and scipy compute from the same features."""

import numpy as np
import pytest
import scipy.special
import torch
from scipy.spatial.distance import cdist

from mmcm.evaluation.features.shared import SharedExtractor
from mmcm.evaluation.gaussian import RunningGaussian
from mmcm.evaluation.metrics.frechet_distance import frechet_distance
from mmcm.evaluation.metrics.kernel_distance import kernel_distance
from mmcm.structures import DataSample
from support.random_inception import random_images, random_inception
from support.synthetic_images import EXTRACTOR, measure


def frechet(x, y):
    """The square root of the product is that of a matrix as large as the number of images."""
    a, b = ((z - z.mean(0)) / np.sqrt(len(z) - 1) for z in (x, y))
    cross = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return np.square(x.mean(0) - y.mean(0)).sum() + np.square(a).sum() + np.square(b).sum() - 2 * cross


def inception_score(logits, split_size=5000):
    p = scipy.special.softmax(logits, 1)
    parts = [p[start : start + split_size] for start in range(0, len(p), split_size)]
    return np.mean([np.exp((part * np.log(part / part.mean(0))).sum(1).mean()) for part in parts])


def kernel(x, y):
    """Between all images of both sets."""
    within, between = (((a @ b.T) / x.shape[1] + 1) ** 3 for a, b in ((np.concatenate([x, y]),) * 2, (x, y)))
    n = len(x)
    among = [(part.sum() - np.trace(part)) / (n * (n - 1)) for part in (within[:n, :n], within[n:, n:])]
    return sum(among) - 2 * between.mean()


def share_covered(points, centres, k=3):
    radii = np.sort(cdist(centres, centres, 'sqeuclidean'), 1)[:, k]
    return (cdist(points, centres, 'sqeuclidean') <= radii).any(1).mean()


def inception(folder):
    torch.save(random_inception(), folder / 'weights.pth')
    return dict(type='InceptionV3', checkpoint=str(folder / 'weights.pth'))


@pytest.mark.parametrize(
    'make_extractor, number, size',
    [(lambda folder: EXTRACTOR, 300, 8), pytest.param(inception, 2000, 32, marks=pytest.mark.slow)],
    ids=['small network', 'Inception'],
)
def test_metrics_of_synthetic_images_are_those_of_numpy_and_scipy(tmp_path, monkeypatch, make_extractor, number, size):
    extractor = make_extractor(tmp_path)
    real_images, images = (random_images(number, size, seed) for seed in (1, 2))
    np.savez(tmp_path / 'real.npz', real_images.permute(0, 2, 3, 1).numpy())
    drawn = [DataSample.of(fake_img=image, sample_idx=index) for index, image in enumerate(images)]
    seen, extract = [], SharedExtractor.extract
    monkeypatch.setattr(SharedExtractor, 'extract', lambda *args: seen.append(extract(*args)) or seen[-1])
    options = dict(extractor=extractor, reference=str(tmp_path / 'real.npz'))
    found = measure(
        [
            dict(type='FrechetDistance', **options),
            dict(type='FrechetDistance', **options, which='spatial'),
            dict(type='InceptionScore', extractor=extractor),
            dict(type='KernelDistance', **options, num_subsets=1, subset_size=number),
            dict(type='PrecisionRecall', **options),
        ],
        drawn,
        batch_size=100,
    )
    features, logits, spatial = (torch.cat(parts).flatten(1).double().numpy() for parts in zip(*seen))
    ours, real = features[:number], features[number:]
    assert len(real) == number and ours.std() > 0.01
    assert found == pytest.approx(
        {
            'frechet/distance': frechet(ours, real),
            'frechet/spatial_distance': frechet(spatial[:number], spatial[number:]),
            'inception/score': inception_score(logits[:number]),
            'kernel/distance': kernel(ours, real),
            'manifold/precision': share_covered(ours, real),
            'manifold/recall': share_covered(real, ours),
        },
        rel=1e-6,
    )
    assert 0 < found['manifold/precision'] <= 1
    itself = RunningGaussian()
    itself.update(real)
    assert frechet_distance(itself.result(), itself.result()) == pytest.approx(0, abs=1e-4)
    assert kernel_distance(ours, real, 1, number) == pytest.approx(found['kernel/distance'], rel=1e-6)
