import numpy as np
import pytest

from mmcm.evaluation.gaussian import RunningGaussian
from mmcm.utils.errors import InputError

FEATURES = np.random.RandomState(0).randn(101, 5) * (1, 2, 3, 4, 5) + 1e4  # far from zero, where digits get lost


def running(*parts):
    gaussian = RunningGaussian()
    for part in parts:
        gaussian.update(part)
    return gaussian


def agrees(gaussian):
    np.testing.assert_allclose(gaussian.mean, FEATURES.mean(0), rtol=1e-14)
    np.testing.assert_allclose(gaussian.covariance, np.cov(FEATURES, rowvar=False), rtol=1e-11)
    return gaussian.num_images == len(FEATURES)


@pytest.mark.parametrize('sizes', [(101,), (1, 100), (50, 0, 51), (1,) * 101])
def test_batches_make_the_mean_and_covariance_of_all(sizes):
    assert agrees(running(*np.split(FEATURES, np.cumsum(sizes)[:-1])).result())


def test_parts_of_several_processes_are_merged():
    first, second, none = running(FEATURES[:30]), running(FEATURES[30:60], FEATURES[60:]), running()
    for part in (second, none):
        first.merge(part)
    none.merge(first)
    assert agrees(first.result()) and agrees(none.result())


def test_one_image_has_no_covariance():
    with pytest.raises(InputError, match='at least 2 images, got 1'):
        running(FEATURES[:1]).result()
