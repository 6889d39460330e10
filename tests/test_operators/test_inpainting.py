import pytest
import torch

from mmcm.operators import Inpainting
from mmcm.utils.errors import InputError

IMAGES = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
ESTIMATES = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1


def half():
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., 2:, :] = 1
    return mask


def test_known_pixels_are_kept_and_the_others_drawn_bit_for_bit():
    operator = Inpainting(half())
    kept = operator.keep(operator.degrade(IMAGES), ESTIMATES)
    assert torch.equal(kept[..., :2, :], IMAGES[..., :2, :])
    assert torch.equal(kept[..., 2:, :], ESTIMATES[..., 2:, :])


def test_degraded_picture_shows_nothing_of_what_is_masked():
    known = Inpainting(half()).degrade(IMAGES)
    assert torch.equal(known[..., :2, :], IMAGES[..., :2, :])
    assert (known[..., 2:, :] == 0).all()


def test_soft_edge_blends_once():
    operator = Inpainting(torch.full((1, 1, 4, 4), 0.25))
    kept = operator.keep(operator.degrade(IMAGES), ESTIMATES)
    torch.testing.assert_close(kept, 0.75 * IMAGES + 0.25 * ESTIMATES)


def test_each_picture_may_have_its_own_mask_for_all_its_candidates():
    operator = Inpainting(torch.cat([half(), 1 - half()]))
    kept = operator.keep(IMAGES.repeat_interleave(3, dim=0), ESTIMATES.repeat_interleave(3, dim=0))
    for candidate in range(3):
        assert torch.equal(kept[candidate, :, :2], IMAGES[0, :, :2])
        assert torch.equal(kept[3 + candidate, :, 2:], IMAGES[1, :, 2:])


def test_mask_goes_to_the_device_of_the_pictures_and_the_operator_stays_as_it_was():
    operator = Inpainting(half())
    moved = operator.to('meta')
    assert moved.keep(IMAGES.to('meta'), ESTIMATES.to('meta')).is_meta
    assert torch.equal(operator.mask, half())


@pytest.mark.parametrize(
    'mask, match',
    [
        (torch.zeros(4, 4), 'shape'),
        (torch.zeros(1, 3, 4, 4), 'shape'),
        (torch.full((1, 1, 4, 4), 255), r'\[0, 1\]'),
        (torch.full((1, 1, 4, 4), float('nan')), r'\[0, 1\]'),
    ],
)
def test_what_is_no_mask_is_refused(mask, match):
    with pytest.raises(InputError, match=match):
        Inpainting(mask)


@pytest.mark.parametrize('shape', [(1, 1, 4, 5), (3, 1, 4, 4)])
def test_mask_of_other_pictures_is_refused(shape):
    with pytest.raises(InputError, match='does not fit'):
        Inpainting(torch.zeros(shape)).degrade(IMAGES)
