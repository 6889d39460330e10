import numpy as np
import pytest
import torch

from mmcm.evaluation.metrics.kernel_distance import kernel_distance, squared_discrepancy
from mmcm.registry import METRICS
from mmcm.utils.errors import InputError
from support.synthetic_images import EXTRACTOR, REAL, IntegerNetwork, MadeUpImages, drawn, measure

KERNEL = dict(type='KernelDistance', extractor=EXTRACTOR, reference=REAL)


def features(number, mean=0.0, seed=0, size=6):
    return np.random.RandomState(seed).normal(mean, 1, (number, size))


def by_definition(x, y):
    """Return the unbiased estimate, one pair of images after the other."""

    def kernel(a, b):
        return (a @ b / len(a) + 1) ** 3

    def among(z):
        return np.mean([kernel(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j])

    return among(x) + among(y) - 2 * np.mean([kernel(a, b) for a in x for b in y])


def test_estimate_is_that_of_the_definition():
    x, y = features(17), features(17, 0.5, 1)
    assert squared_discrepancy(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(by_definition(x, y), rel=1e-9)
    assert kernel_distance(x, y, 3, 17) == pytest.approx(by_definition(x, y), rel=1e-9)  # subsets of all


def test_estimate_from_images_is_that_of_the_definition():
    network = IntegerNetwork()
    network.init_weights()
    x, y = (
        network.extract(images).features.double().numpy()
        for images in (torch.stack([sample.fake_img for sample in drawn(77)]), MadeUpImages(77, 1).images)
    )
    assert measure([KERNEL], drawn(77)) == {'kernel/distance': pytest.approx(by_definition(x, y), rel=1e-6)}


def test_two_sets_of_the_same_kind_are_at_no_distance_on_average():
    estimates = [kernel_distance(features(100, seed=2 * seed), features(100, seed=2 * seed + 1), 2, 50, seed)
                 for seed in range(100)]  # yapf: disable
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates)) < 3 * error < 0.05
    assert min(estimates) < 0  # unbiased
    assert kernel_distance(features(100), features(100, 1.0, 1), 10, 50) > 1


def test_subsets_follow_from_the_seed():
    x, y = features(100), features(90, 0.3, 1)
    first = kernel_distance(x, y, 5, 20, seed=3)
    assert kernel_distance(x, y, 5, 20, seed=3) == first != kernel_distance(x, y, 5, 20, seed=4)


def test_subsets_are_as_large_as_the_smaller_set_where_images_are_few():
    network = IntegerNetwork()
    network.init_weights()
    x, y = (
        network.extract(images).features.numpy()
        for images in (torch.stack([sample.fake_img for sample in drawn(50)]), MadeUpImages(77, 1).images)
    )
    assert measure([KERNEL], drawn(50)) == {'kernel/distance': kernel_distance(x, y, 100, 50)}


def test_one_image_has_no_distance():
    with pytest.raises(InputError, match='at least 2 images, got 1 generated and 77 real'):
        measure([KERNEL], drawn(1))


@pytest.mark.parametrize('option', ['num_subsets', 'subset_size', 'num_real'])
def test_numbers_have_to_be_some(option):
    with pytest.raises(InputError, match='num_images' if option == 'num_real' else option):
        METRICS.build({**KERNEL, option: 0})


def test_torchmetrics_agrees():
    # Its subsets are other ones, so that they agree where there is only one: the whole set.
    kid = pytest.importorskip('torchmetrics.image.kid')
    x, y = features(17), features(17, 0.5, 1)
    theirs = kid.poly_mmd(torch.from_numpy(x), torch.from_numpy(y))
    assert float(theirs) == pytest.approx(kernel_distance(x.astype(np.float32), y.astype(np.float32), 1, 17), rel=1e-5)
