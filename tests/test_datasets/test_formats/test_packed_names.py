import pickle

import pytest

from mmcm.datasets.formats.packed_names import PackedNames

NAMES = [b'a', b'', b'n01/\xff.jpg', b'long' * 100]


def test_names_come_back():
    packed = PackedNames(iter(NAMES))
    assert list(packed) == NAMES and len(packed) == 4
    assert list(pickle.loads(pickle.dumps(packed))) == NAMES
    assert list(PackedNames.of(packed.content, packed.ends)) == NAMES


@pytest.mark.parametrize('position', [4, 9])
def test_there_is_nothing_beyond_the_last(position):
    with pytest.raises(IndexError):
        PackedNames(NAMES)[position]


def test_none_is_no_name():
    assert list(PackedNames(())) == []
