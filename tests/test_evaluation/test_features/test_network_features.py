from collections import namedtuple

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close

from mmcm.evaluation.features import NetworkFeatures
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError

FLATTEN = dict(type='torch.nn.Flatten')
Output = namedtuple('Output', 'pooled last')


class Echo(nn.Module):
    """A network that returns what it is asked for: the images in a tuple, in a mapping or in an object."""

    def forward(self, images, form='bare'):
        mean = images.float().mean((2, 3))
        return dict(
            bare=images,
            halves=images.half(),
            tuple=(mean, images),
            mapping=dict(pooled=mean, last=images),
            object=Output(mean, images),
            none=None,
            flat=mean[:, 0],
            short=mean[:-1],
        )[form]


ECHO = dict(type=Echo)


def read(network=ECHO, **kwargs):
    extractor = MODELS.build(dict(type='NetworkFeatures', network=network, **kwargs))
    extractor.init_weights()
    return extractor


@pytest.fixture
def images():
    return torch.randint(0, 256, (3, 3, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_network_is_named_by_its_import_path_and_sees_the_images_as_they_are(images):
    features, logits, spatial = read(FLATTEN).extract(images)
    assert_close(features, images.float().flatten(1))
    assert (logits, spatial) == (None, None)


def test_network_of_the_registry_is_built_in_its_scope():
    extractor = read(dict(type='ImagePreprocessor'), arguments={}, features='inputs')
    assert type(extractor.network).__name__ == 'ImagePreprocessor'


def test_network_without_arguments_is_its_type_alone(images):
    found, expected = read('torch.nn.Flatten'), read(dict(type='torch.nn.Flatten'))
    assert found.fingerprint == expected.fingerprint
    assert torch.equal(found.extract(images).features, images.flatten(1).float())


@pytest.mark.parametrize(
    'network, match',
    [
        ('torch.nn.Nosuch', "there is no model 'torch.nn.Nosuch'"),
        (
            dict(type='torch.nn.Conv2d', in_channels=3, out_channels=4, kernel_size=1, groups=3),
            "the network 'torch.nn.Conv2d' cannot be built: out_channels",
        ),
        ('torch.is_tensor', 'does not fit it'),
        (3, 'network has to be the config of a network or its type'),
    ],
)
def test_what_is_no_network_is_told(network, match):
    with pytest.raises(InputError, match=match):
        read(network)


def test_unknown_network_is_told():
    with pytest.raises(InputError, match="there is no model 'torchvision.models.resnet51'"):
        read(dict(type='torchvision.models.resnet51'))


@pytest.mark.parametrize(
    'form, features, logits',
    [
        ('tuple', 1, 0),
        ('mapping', 'last', 'pooled'),
        ('object', 'last', 'pooled'),
        ('object', 1, None),
        ('bare', None, None),
        ('halves', None, None),
    ],
)
def test_features_and_logits_are_found_in_what_the_network_returns(images, form, features, logits):
    found = read(arguments=dict(form=form), features=features, logits=logits).extract(images)
    assert_close(found.features, images.float().flatten(1))
    if logits is None:
        assert found.logits is None
    else:
        assert_close(found.logits, images.float().mean((2, 3)))


@pytest.mark.parametrize(
    'form, place, complaint',
    [
        ('bare', 'pooled', r"features='pooled' names nothing in what the network returns: a tensor \(3, 3, 4, 5\)"),
        ('tuple', 2, 'features=2 names nothing in what the network returns: 2 things in a tuple'),
        ('mapping', 'first', r"features='first' names nothing .* a mapping with the keys \['pooled', 'last'\]"),
        ('object', 'first', "features='first' names nothing in what the network returns: 2 things in a Output"),
        ('none', 0, 'names nothing in what the network returns: an object of type NoneType'),
        ('mapping', None, 'features=None should be a tensor with a row for each of 3 images, got a mapping'),
        ('flat', None, r'a row for each of 3 images, got a tensor \(3,\)'),
        ('short', None, r'a row for each of 3 images, got a tensor \(2, 3\)'),
    ],
)
def test_what_are_no_features_is_told(images, form, place, complaint):
    with pytest.raises(InputError, match=complaint):
        read(arguments=dict(form=form), features=place).extract(images)


def test_logits_that_are_not_there_are_told_by_their_argument(images):
    with pytest.raises(InputError, match="logits='scores' names nothing"):
        read(arguments=dict(form='mapping'), features='last', logits='scores').extract(images)


def test_grey_images_get_three_equal_channels_unless_they_are_to_stay_grey(images):
    grey = images[:, :1]
    assert_close(read().extract(grey).features, grey.repeat(1, 3, 1, 1).float().flatten(1))
    assert_close(read(rgb=False).extract(grey).features, grey.float().flatten(1))
    with pytest.raises(InputError, match='got 2 channels'):
        read().extract(images[:, :2])


def test_black_and_white_become_the_ends_of_the_range():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    assert_close(read(value_range=(-1.0, 1.0)).extract(images).features, torch.tensor([[-1, -0.6, 1]]))
    assert read(value_range=(0, 1)).extract(images).features.tolist() == [[0, pytest.approx(0.2), 1]]


def test_channels_are_normalised_after_the_range():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    found = read(value_range=(0, 1), mean=(0.5, 0.1, 0.4), std=(0.5, 0.1, 0.2)).extract(images).features
    assert_close(found, torch.tensor([[-1.0, 1.0, 3.0]]))
    assert read(mean=(1, 2, 3)).extract(images).features.tolist() == [[-1, 49, 252]]
    assert read(std=(1, 2, 4)).extract(images).features.tolist() == [[0, 25.5, 63.75]]


def test_images_are_resized_and_smoothed_where_they_become_smaller():
    stripes = torch.tensor([0, 200, 0, 200, 0, 200, 0, 200, 0], dtype=torch.uint8).expand(1, 3, 9, 9)
    features = read(size=(2, 3)).extract(stripes).features
    assert features.shape == (1, 3 * 2 * 3)
    assert (features - 100).abs().max() < 40  # without smoothing, every third pixel: 200, 0, 200
    assert read(size=(16, 16)).extract(stripes).features.shape == (1, 3 * 16 * 16)


def test_weights_are_read_from_a_file(images, tmp_path):
    weight = torch.randn(2, 5)
    network = dict(type='torch.nn.Linear', in_features=5, out_features=2, bias=False)
    save_file(dict(weight=weight), tmp_path / 'linear.safetensors')
    extractor = read(network, checkpoint=str(tmp_path / 'linear.safetensors'), value_range=(0, 255))
    assert_close(extractor.extract(images).features, (images.float() @ weight.T).flatten(1))
    save_file(dict(bias=weight), tmp_path / 'other.safetensors')
    with pytest.raises(InputError, match='other.safetensors is not a checkpoint of this Linear'):
        read(network, checkpoint=str(tmp_path / 'other.safetensors'))
    with pytest.raises(InputError, match='its SHA-256 is'):
        read(network, checkpoint=str(tmp_path / 'linear.safetensors'), sha256=64 * '0')


def test_network_is_in_evaluation_mode(images):
    assert_close(
        read(dict(type='torch.nn.Dropout', p=0.9), value_range=(0, 1)).extract(images).features, images.flatten(1) / 255
    )


def test_batches_have_the_size_that_is_given(images):
    sizes = []
    extractor = read(batch_size=2)
    extractor.network.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    assert_close(extractor.extract(images).features, images.float().flatten(1))
    assert sizes == [2, 1]


def test_weights_and_settings_have_their_fingerprint():
    torch.manual_seed(0)
    network = dict(type='torch.nn.Linear', in_features=5, out_features=2)
    fingerprints = {
        read(FLATTEN).fingerprint,
        read(FLATTEN, size=(2, 2)).fingerprint,
        read(FLATTEN, value_range=(0, 1)).fingerprint,
        read(FLATTEN, features=0).fingerprint,
        read(network).fingerprint,
        read(network).fingerprint,
    }  # two random ones
    assert len(fingerprints) == 6
    assert read(FLATTEN, batch_size=3).fingerprint == read(FLATTEN).fingerprint
    assert read(FLATTEN, size=[2, 2]).fingerprint == read(FLATTEN, size=(2, 2)).fingerprint


def test_nothing_is_extracted_before_the_network_is_built(images):
    with pytest.raises(InputError, match='NetworkFeatures has no weights yet'):
        NetworkFeatures(FLATTEN).extract(images)


def test_images_that_a_network_cannot_take_are_told_with_what_would_help():
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(InputError, match=r'cannot take images of shape \(2, 3, 8, 8\), torch.uint8: .*value_range'):
        read(dict(type='torch.nn.AvgPool2d', kernel_size=8)).extract(images)
    pooled = read(dict(type='torch.nn.AvgPool2d', kernel_size=8), value_range=(0, 1)).extract(images)
    assert pooled.features.shape == (2, 3)
