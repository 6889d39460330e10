import pytest
import torch

from mmcm.registry import MODELS
from mmcm.utils.errors import InputError


def preprocessor(**options):
    return MODELS.build(dict(type='ImagePreprocessor', **options))


def test_every_grey_level_comes_back():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    inputs = preprocessor()(dict(inputs=levels))['inputs']
    assert inputs.dtype == torch.float32 and inputs.min() == -1 and inputs.max() == 1
    assert torch.equal(preprocessor().destruct(inputs), levels)


def test_float_images_are_scaled_by_their_range():
    images = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(preprocessor(value_range=(0, 1))(dict(inputs=images))['inputs'], 2 * images - 1)
    torch.testing.assert_close(preprocessor(value_range=(-1, 1))(dict(inputs=images))['inputs'], images)


def test_bgr_becomes_rgb():
    images = torch.arange(3, dtype=torch.uint8).view(1, 3, 1, 1)
    assert preprocessor(channel_order='bgr')(dict(inputs=images))['inputs'].argmax() == 0


def test_list_of_images_is_stacked():
    assert preprocessor()(dict(inputs=[torch.zeros(1, 2, 2), torch.ones(1, 2, 2)]))['inputs'].shape == (2, 1, 2, 2)


def test_values_beyond_the_range_are_clamped_on_the_way_back():
    assert preprocessor().destruct(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


@pytest.mark.parametrize(
    'value, value_range, expected',
    [
        (float('nan'), (0, 1), '1 of 3 images'),
        (float('inf'), (0, 1), 'image 1'),
        (255.0, (0, 1), '0 to 255'),
        (-1.0, (0, 1), 'set value_range'),
    ],
)
def test_values_that_cannot_be_are_refused(value, value_range, expected):
    images = torch.zeros(3, 1, 2, 2)
    images[1, 0, 0, 0] = value
    with pytest.raises(InputError, match=expected):
        preprocessor(value_range=value_range)(dict(inputs=images))


def test_bytes_do_not_fit_a_range_up_to_one():
    with pytest.raises(InputError, match='beyond 0 .black. to 1 .white.'):
        preprocessor(value_range=(0, 1))(dict(inputs=torch.full((1, 1, 2, 2), 255, dtype=torch.uint8)))


def test_values_may_overshoot_as_bicubic_resampling_does():
    images = torch.tensor([-0.1, 1.1]).view(1, 1, 1, 2)
    inputs = preprocessor(value_range=(0, 1))(dict(inputs=images))['inputs']
    torch.testing.assert_close(inputs, torch.tensor([-1.2, 1.2]).view(1, 1, 1, 2))


@pytest.mark.parametrize(
    'options',
    [
        dict(channel_order='bgra'),
        dict(value_range=(1, 0)),
        dict(value_range=(0, float('nan'))),
        dict(value_range=(0, float('inf'))),
    ],
)
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(InputError):
        preprocessor(**options)
