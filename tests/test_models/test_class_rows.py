import pytest
import torch
from mmengine.config import Config

from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.datasets.class_names import class_names
from mmcm.models.class_rows import choose_rows, names_in
from mmcm.utils.errors import InputError

ANIMALS = class_names(['cat', 'dog', 'horse'])


@pytest.mark.parametrize('num_classes, expected', [(3, [0, 1, 2]), (5, [0, 1, 2, None, None]), (2, [None, None])])
def test_without_names_the_first_classes_are_the_same_and_fewer_are_all_new(num_classes, expected):
    assert choose_rows(num_classes, 3) == (expected, 'by number')
    assert choose_rows(num_classes, 3, their_names=ANIMALS) == (expected, 'by number')  # names on one side do not help


def test_names_on_both_sides_decide():
    assert choose_rows(2, 3, None, class_names(['Horse', 'zebra']), ANIMALS) == ([2, None], 'by name')
    assert choose_rows(3, 3, None, class_names(['dog', 'cat', 'cow']), ANIMALS) == ([1, 0, None], 'by name')


def test_any_name_of_a_class_of_imagenet_counts():
    names = class_names('imagenet1k')
    found, _ = choose_rows(3, 1000, None, class_names(['goldfish', 'my cat', 'Carassius auratus']), names)
    assert found == [1, None, 1]


def test_given_classes_are_taken_by_number_and_name():
    assert choose_rows(4, 3, [2, 'cat', None, 'DOG'], (), ANIMALS) == ([2, 0, None, 1], 'as given')


@pytest.mark.parametrize(
    'classes, names, message',
    [
        ([0], ANIMALS, '1 entries for the 2 classes'),
        ([0, 3], ANIMALS, 'numbers from 0 to 2, names or None, got 3'),
        ([0, True], ANIMALS, 'got True'),
        ([0, 'cow'], ANIMALS, "no class is called 'cow'"),
        ([0, 'cat'], (), "has the name 'cat', and the checkpoint does not name its classes"),
    ],
)
def test_given_classes_that_do_not_fit_are_refused(classes, names, message):
    with pytest.raises(InputError, match=message):
        choose_rows(2, 3, classes, (), names)


def test_names_of_a_checkpoint_are_those_of_its_config_or_of_imagenet(tmp_path):
    def checkpoint(**settings):
        text = Config(dict(model=dict(type='ConsistencyModel'), **settings)).pretty_text
        torch.save(dict(meta=dict(cfg=text), state_dict={'denoiser.backbone.x': torch.zeros(1)}), tmp_path / 'x.pth')
        return Checkpoint.open(tmp_path / 'x.pth')

    assert names_in(checkpoint(class_names=['cat', 'dog', 'horse']), 3) == ANIMALS
    assert names_in(checkpoint(class_names=['cat', 'dog', 'horse']), 4) == ()  # of another network
    assert names_in(checkpoint(class_names='cifar10'), 10) == class_names('cifar10')
    assert names_in(checkpoint(class_names='no such list'), 10) == names_in(checkpoint(class_names=3), 10) == ()
    assert names_in(checkpoint(), 1000) == class_names('imagenet1k') and names_in(checkpoint(), 999) == ()
    assert names_in(None, 3) == ()
