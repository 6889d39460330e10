import pytest
import torch

from mmcm.datasets import SamplingRequests
from mmcm.datasets.sampling_requests import request_labels
from mmcm.utils.errors import InputError


def labels(*arguments, **options):
    requests = [request['data_samples'] for request in SamplingRequests(*arguments, **options)]
    return [request.gt_label.label.item() for request in requests if 'gt_label' in request]


@pytest.mark.parametrize('seed', [0, 3])
def test_request_i_of_n_has_the_seed_i_plus_n_times_the_runs(seed):
    requests = SamplingRequests(5, seed=seed)
    assert len(requests) == 5
    assert [request['data_samples'].sample_seed for request in requests] == [5 * seed + index for index in range(5)]


@pytest.mark.parametrize(
    'rule, expected',
    [('balanced', [0, 1, 2, 0, 1]), (2, [2] * 5), (0, [0] * 5), ((2, 0), [2, 0, 2, 0, 2]), ([1] * 9, [1] * 5)],
)
def test_labels_follow_their_rule(rule, expected):
    assert labels(5, num_classes=3, labels=rule) == expected


def test_unconditional_requests_have_no_labels():
    assert labels(5) == []


def test_random_labels_depend_on_the_seed_alone():
    first, again, other = (labels(300, num_classes=3, labels='random', seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert min(first.count(label) for label in range(3)) > 70


@pytest.mark.parametrize(
    'arguments, match',
    [
        (dict(num_samples=0), 'num_samples'),
        (dict(num_samples=10**14, labels=0), 'at most 100000000'),
        (dict(num_samples=4, labels='balanced'), 'needs num_classes'),
        (dict(num_samples=4, labels='sorted', num_classes=3), "'sorted'"),
        (dict(num_samples=4, labels=[], num_classes=3), 'empty list'),
        (dict(num_samples=4, labels=3, num_classes=3), 'label 3 is out of range. The model knows the classes 0 to 2'),
        (dict(num_samples=4, labels=[0, -1]), 'label -1'),
    ],
)
def test_requests_that_cannot_be_are_refused(arguments, match):
    with pytest.raises(InputError, match=match):
        SamplingRequests(**arguments)


def test_each_seed_of_a_list_decides_on_one_label():
    seeds = [3, 8, 3, 2**40]
    chosen = request_labels('random', 4, 10, seeds)
    assert chosen == [request_labels('random', 1, 10, seed)[0] for seed in seeds]


@pytest.mark.parametrize('seed', [[1, 2], torch.tensor([1, 2])], ids=['list', 'tensor'])
def test_run_has_one_seed(seed):
    with pytest.raises(InputError, match='the seed of a run has to be one integer'):
        SamplingRequests(2, seed=seed)
