import math

import pytest
import torch

from mmcm.augmentations import EDMAugmentation, edm
from mmcm.utils.errors import InputError

OFF = dict(x_flip=0, y_flip=0, scale=0, rotate=0, anisotropy=0, translate=0)
LABELS = dict(x_flip=1, y_flip=1, rotate_int=2, scale=1, rotate=2, anisotropy=2, translate=2)


def only(name, probability=1.0):
    return EDMAugmentation(probability, **{**OFF, name: 1.0})


def images(number=64, size=(6, 6)):
    return torch.randn(number, 3, *size)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_probability_of_0_returns_the_images_bit_for_bit_and_labels_of_0():
    given = images()
    found, labels = EDMAugmentation(0.0, rotate_int=1)(given)
    assert torch.equal(found, given) and torch.equal(labels, torch.zeros(64, 11))


def test_defaults_are_those_of_edm_with_nine_labels():
    augmentation = EDMAugmentation(0.12)
    assert augmentation.num_labels == 9
    _, labels = augmentation(images(4000, (2, 2)))
    shares = (labels != 0).float().mean(0)
    # x-flip: half of all images. y-flip: half of 12 %. The others: 12 %; half of the anisotropies are horizontal.
    expected = torch.tensor([0.5, 0.06, 0.12, 0.12, 0.12, 0.12, 0.06, 0.12, 0.12])
    assert torch.allclose(shares, expected, atol=0.03)
    assert EDMAugmentation(0.12, rotate_int=1).num_labels == 11


@pytest.mark.parametrize('name', LABELS)
def test_labels_of_each_transform_are_those_of_edm(name):
    _, labels = only(name)(images(2000, (2, 2)))
    assert labels.shape == (2000, LABELS[name])
    if name in ('x_flip', 'y_flip'):
        assert set(labels.flatten().tolist()) == {0, 1}
    elif name == 'rotate_int':
        assert set(map(tuple, labels.tolist())) == {(0, 0), (1, 0), (1, 1), (0, 1)}
    elif name == 'rotate':  # cos - 1 and sin of an angle
        torch.testing.assert_close((labels[:, 0] + 1) ** 2 + labels[:, 1] ** 2, torch.ones(2000))
    else:  # standard normal; of the anisotropy, as a vector in its direction
        spread = labels.square().sum(1).mean() / (1 if name == 'anisotropy' else LABELS[name])
        assert spread == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize('name, axis', [('x_flip', 3), ('y_flip', 2)])
def test_flip_mirrors_exactly_the_labelled_images(name, axis):
    given = images(size=(4, 6))
    found, labels = only(name)(given)
    assert 16 < labels.sum() < 48
    for before, after, (label,) in zip(given, found, labels):
        assert torch.equal(after, before.flip(axis - 1) if label else before)


def test_rotation_by_quarters_is_exact():
    given = images()
    found, labels = only('rotate_int')(given)
    quarters = {(0, 0): 0, (1, 0): 1, (1, 1): 2, (0, 1): 3}
    for before, after, label in zip(given, found, labels.int().tolist()):
        assert torch.equal(after, before.rot90(quarters[tuple(label)], (1, 2)))
    with pytest.raises(InputError, match='6 x 4 pixels are not square: set it to 0'):
        only('rotate_int')(images(size=(4, 6)))


def geometric(name, uniform, normal, size=(24, 32)):
    """Return a smooth image, x and y of its pixels, and its transform by given random numbers."""
    height, width = size
    y, x = torch.meshgrid(torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing='ij')
    apply = only(name).applied
    found, labels = apply(field(x, y)[None, None], torch.tensor([[uniform]]), torch.tensor([[normal]]))
    return x, y, found[0, 0], labels[0]


def field(x, y):
    return torch.exp(-((x - 3) ** 2 + (y + 2) ** 2) / 18) + 0.5 * torch.exp(-((x + 5) ** 2 + (y - 1) ** 2) / 18)


def assert_same(found, expected):
    torch.testing.assert_close(found[6:-6, 6:-6], expected[6:-6, 6:-6], atol=1e-2, rtol=0)


def test_scale_enlarges_by_two_to_the_fifth_of_its_label():
    x, y, found, labels = geometric('scale', [0.0, 0, 0], [1.5, 0, 0])
    assert labels.tolist() == [1.5]
    assert_same(found, field(x / 2**0.3, y / 2**0.3))


def test_rotation_turns_by_the_angle_of_its_labels():
    angle = 0.25 * math.pi
    x, y, found, labels = geometric('rotate', [0.0, 0.625, 0], [0.0, 0, 0])
    torch.testing.assert_close(labels, torch.tensor([math.cos(angle) - 1, math.sin(angle)]))
    cos, sin = math.cos(angle), math.sin(angle)
    assert_same(found, field(cos * x - sin * y, sin * x + cos * y))


def test_anisotropy_stretches_in_its_direction_and_shrinks_across():
    x, y, found, labels = geometric('anisotropy', [0.0, 0.5, 0.9], [1.0, 0, 0])  # horizontal
    assert labels.tolist() == [1, 0]
    assert_same(found, field(x / 2**0.2, y * 2**0.2))
    x, y, found, labels = geometric('anisotropy', [0.0, 0.75, 0.1], [1.0, 0, 0])  # at 90 degrees
    torch.testing.assert_close(labels, torch.tensor([0.0, 1.0]))
    assert_same(found, field(x * 2**0.2, y / 2**0.2))


def test_translation_moves_by_an_eighth_of_the_size_for_each_unit_of_its_labels():
    x, y, found, labels = geometric('translate', [0.0, 0, 0], [0.5, -1.0, 0])
    assert labels.tolist() == [0.5, -1]
    assert_same(found, field(x - 2, y + 3))


def test_transforms_together_scale_first_then_turn_and_then_move():
    size, angle = (24, 32), 0.25 * math.pi
    augmentation = EDMAugmentation(1.0, **{**OFF, 'scale': 1.0, 'rotate': 1.0, 'translate': 1.0})
    y, x = torch.meshgrid(torch.arange(size[0]) - 11.5, torch.arange(size[1]) - 15.5, indexing='ij')
    uniform = torch.tensor([[[0.0, 0, 0], [0.0, 0.625, 0], [0.0, 0, 0]]])
    normal = torch.tensor([[[1.0, 0, 0], [0.0, 0, 0], [0.5, -1.0, 0]]])
    found, labels = augmentation.applied(field(x, y)[None, None], uniform, normal)
    assert labels[0].tolist() == pytest.approx([1.0, math.cos(angle) - 1, math.sin(angle), 0.5, -1.0])
    x, y = x - 0.5 * size[1] / 8, y + size[0] / 8
    cos, sin = math.cos(angle), math.sin(angle)
    assert_same(found[0, 0], field((cos * x - sin * y) / 2**0.2, (sin * x + cos * y) / 2**0.2))


def test_images_without_a_transform_are_returned_bit_for_bit():
    given = images(200, (8, 8))
    found, labels = EDMAugmentation(0.1, x_flip=0)(given)
    untouched = (labels == 0).all(1)
    assert 80 < untouched.sum() < 160 and torch.equal(found[untouched], given[untouched])
    assert all(not torch.equal(a, b) for a, b in zip(found[~untouched], given[~untouched]))


def test_processes_together_transform_as_one(monkeypatch):
    given, augmentation = images(12, (8, 8)), EDMAugmentation(0.5)

    def run(rank, world_size):
        monkeypatch.setattr(edm, 'get_rank', lambda: rank)
        monkeypatch.setattr(edm, 'get_world_size', lambda: world_size)
        torch.manual_seed(1)
        found = augmentation(given[rank::world_size])
        return *found, torch.rand(1)

    whole, labels, after = run(0, 1)
    for rank in range(3):
        part, part_labels, part_after = run(rank, 3)
        assert torch.equal(part_labels, labels[rank::3]) and torch.equal(part_after, after)
        torch.testing.assert_close(part, whole[rank::3], atol=1e-6, rtol=0)


def test_settings_out_of_range_are_refused():
    with pytest.raises(InputError, match='probability of EDMAugmentation has to be from 0 to 1, got 12'):
        EDMAugmentation(12)
    with pytest.raises(InputError, match='scale of EDMAugmentation has to be a number of at least 0'):
        EDMAugmentation(0.1, scale=-1)
    with pytest.raises(InputError, match='no transform'):
        EDMAugmentation(0.1, **OFF)
