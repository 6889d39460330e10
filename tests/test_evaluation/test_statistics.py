import numpy as np
import pytest

from mmcm.evaluation.gaussian import Gaussian
from mmcm.evaluation.statistics import Statistics, read_statistics, write_statistics
from mmcm.utils.errors import InputError
from mmcm.utils.npz import open_npz

GAUSSIAN = Gaussian(np.arange(3.0), np.diag([1.0, 2.0, 3.0]), 7)
WHOLE = Statistics(GAUSSIAN, Gaussian(np.ones(2), np.eye(2), 7), np.ones((7, 3), np.float32), 'Kind', 'ab' * 32, 'cd')


def written(path, statistics):
    write_statistics(path, statistics)
    return read_statistics(open_npz(path))


def assert_equal(a, b):
    for one, other in zip(a, b):
        if isinstance(other, Gaussian):
            assert_equal(one, other)
        else:
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize('statistics', [WHOLE, WHOLE._replace(spatial=None, table=None), WHOLE._replace(dataset=None)])
def test_statistics_are_read_back(tmp_path, statistics):
    found = written(tmp_path / 'ref.npz', statistics)
    assert_equal(found, statistics)
    assert [found.size(part) for part in ('features', 'table')] == [3, None if statistics.table is None else 3]


def test_file_has_the_names_of_the_reference_evaluator(tmp_path):
    write_statistics(tmp_path / 'ref.npz', WHOLE)
    with np.load(tmp_path / 'ref.npz') as file:  # by numpy alone, without unpickling
        np.testing.assert_array_equal(file['sigma'], GAUSSIAN.covariance)
        assert {'mu', 'sigma', 'mu_s', 'sigma_s'} <= set(file) and int(file['num_images']) == 7


def test_files_of_others_do_not_tell_who_made_them(tmp_path):
    np.savez(tmp_path / 'ref.npz', mu=np.ones(3, np.float32), sigma=np.eye(3, dtype=np.float32))
    found = read_statistics(open_npz(tmp_path / 'ref.npz'))
    assert found.features.num_images is None and found.features.mean.dtype == np.float64
    assert found[1:] == (None,) * 5


@pytest.mark.parametrize(
    'changes, match',
    [
        (dict(sigma=np.eye(4)), r'\(3,\) and \(4, 4\): \(D,\) and \(D, D\) are expected'),
        (dict(mu=np.ones((1, 3))), r'\(1, 3\) and \(3, 3\)'),
        (dict(sigma=np.full((3, 3), np.nan)), 'not finite'),
        (dict(features=np.ones(3)), r'shape \(3,\): \(N, D\) is expected'),
    ],
)
def test_what_does_not_fit_is_told(tmp_path, changes, match):
    np.savez(tmp_path / 'ref.npz', **{**dict(mu=np.ones(3), sigma=np.eye(3)), **changes})
    with pytest.raises(InputError, match=match):
        read_statistics(open_npz(tmp_path / 'ref.npz'))


def test_a_mean_without_its_covariance_is_told(tmp_path):
    np.savez(tmp_path / 'ref.npz', mu=np.ones(3))
    with pytest.raises(InputError, match='holds no array sigma'):
        read_statistics(open_npz(tmp_path / 'ref.npz'))


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):

    def full(*args, **kwargs):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(np, 'savez', full)
    with pytest.raises(InputError, match='No space left on device'):
        write_statistics(tmp_path / 'ref.npz', WHOLE)
    assert list(tmp_path.iterdir()) == []
