import pytest

from mmcm.datasets.class_names import class_names, label_of
from mmcm.utils.errors import InputError

IMAGENET = class_names('imagenet1k')


def test_classes_of_imagenet_are_in_the_order_of_the_released_models():
    assert len(IMAGENET) == 1000
    # Labels that the pages of the released models and of ImageNet's users name.
    for label, name in ((0, 'tench'), (145, 'king penguin'), (207, 'golden retriever'), (999, 'toilet tissue')):
        assert IMAGENET[label][0] == name


@pytest.mark.parametrize(
    'name, label',
    [
        ('king penguin', 145),
        (' King Penguin', 145),
        ('Aptenodytes patagonica', 145),
        ('missile', 657),
        ('projectile', 744),
        ('polecat', 358),
        ('wood pussy', 361),
    ],
)
def test_class_by_any_of_its_names(name, label):
    assert label_of(name, IMAGENET) == label


def test_usual_name_of_two_classes_is_refused():
    with pytest.raises(InputError, match="'crane' is the name of the classes 134 and 517: give the number"):
        label_of('crane', IMAGENET)


def test_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="no class is called 'king pengiun', nearest: king penguin"):
        label_of('king pengiun', IMAGENET)


def test_names_of_other_data_sets_and_own_ones():
    assert label_of('frog', class_names('cifar10')) == 6
    assert label_of('dog', class_names('imagenet9')) == 0
    assert label_of('willow tree', class_names('cifar100')) == 96 and label_of('7', class_names('mnist')) == 7
    assert label_of('b', class_names(('a', 'b'))) == 1
    with pytest.raises(InputError, match='imagenet1k, imagenet9, cifar10, cifar100, mnist or a list'):
        class_names('imagenet')
