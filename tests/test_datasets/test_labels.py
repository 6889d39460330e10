import pytest
import torch

from mmcm.datasets.labels import check_labels, class_number, class_numbers, expand_labels, resolve_classes
from mmcm.utils.errors import InputError

NAMES = (('zero', 'null'), ('one',), ('two',))


@pytest.mark.parametrize(
    'labels, expected',
    [
        (2, [2]),
        ([2, 0], [2, 0]),
        (torch.tensor([2, 0]), [2, 0]),
        (torch.tensor(1), [1]),
        ('null', [0]),
        ([' 1 ', 'TWO'], [1, 2]),
        ('balanced', 'balanced'),
        (['random'], 'random'),
    ],
)
def test_numbers_names_and_rules_are_understood(labels, expected):
    assert class_numbers(labels, 3, NAMES) == expected


@pytest.mark.parametrize(
    'labels, names, match',
    [
        ([], NAMES, 'empty list'),
        (3, NAMES, 'label 3 is out of range. The model knows the classes 0 to 2'),
        (-1, NAMES, 'label -1'),
        (1.5, NAMES, 'have to be integers'),
        ('three', NAMES, "no class is called 'three'"),
        ('three', (), 'only the numbers 0 to 2. Give a number, or list the names as class_names'),
        ('two', None, "have to be integers, or 'balanced' or 'random'"),
        (['balanced', 'random'], NAMES, "no class is called 'balanced'"),
    ],
)
def test_labels_that_mean_no_class_are_refused(labels, names, match):
    with pytest.raises(InputError, match=match):
        class_numbers(labels, 3, names)


def test_number_of_an_unnamed_class_is_itself():
    assert class_number(torch.tensor(2), 3, ()) == 2 and class_number('-4', 3, ()) == -4


def test_numbers_are_repeated_and_rules_choose():
    assert expand_labels([2, 0], 5, 3, 0) == [2, 0, 2, 0, 2]
    assert expand_labels('balanced', 5, 3, 0) == [0, 1, 2, 0, 1]
    assert expand_labels('random', 3, 10, [4, 5, 6]) == [expand_labels('random', 1, 10, seed)[0] for seed in (4, 5, 6)]


def test_labels_of_a_batch_are_one_for_each_sample():
    assert check_labels(None, 2, None) is None
    assert check_labels(1, 2, 3).tolist() == [1, 1]
    assert check_labels([1, 2], 2, 3).dtype == torch.int64
    shares = torch.full((2, 3), 1 / 3)
    assert check_labels(shares, 2, 3) is shares


@pytest.mark.parametrize(
    'labels, num_classes, match',
    [
        (0, None, 'the model is unconditional'),
        (None, 3, 'the model is class-conditional'),
        ([0, 1, 2], 3, 'got 3 for 2'),
        ([0, 3], 3, 'label 3 is out of range'),
        (torch.zeros(2, 2), 3, 'shares of the classes of shape'),
        (torch.full((2, 3), torch.nan), 3, 'finite'),
    ],
)
def test_labels_that_do_not_fit_a_batch_are_refused(labels, num_classes, match):
    with pytest.raises(InputError, match=match):
        check_labels(labels, 2, num_classes)


def test_classes_of_a_model_are_what_labels_mean():
    assert resolve_classes(None, None) is None
    assert resolve_classes(None, 3, NAMES) == 'random'
    assert resolve_classes(['null', 'ONE', '0'], 3, NAMES) == [0, 1, 0]
    with pytest.raises(InputError, match='3 labels are too many for 2 images'):
        resolve_classes([0, 1, 2], 3, most=2)
    with pytest.raises(InputError, match='the model is unconditional'):
        resolve_classes('random', None)
