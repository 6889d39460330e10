import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images

from mmcm.datasets import PhotoPatches, stack_samples
from mmcm.utils.errors import InputError

CHINA = load_sample_images().images[0]  # (427, 640, 3)


def test_patches_are_cut_out_of_the_photographs_row_by_row():
    dataset = PhotoPatches()
    first_column = round(640 / 3)
    for index, (top, left) in {0: (0, 0), 1: (0, 1), 640 - first_column - 31: (1, 0)}.items():
        expected = CHINA[top : top + 32, first_column + left : first_column + left + 32]
        assert np.array_equal(dataset[index]['inputs'].permute(1, 2, 0).numpy(), expected)
    assert dataset[0]['gt_label'] is None and dataset.num_classes is None


def test_every_place_at_both_sizes_is_there_once():
    assert len(PhotoPatches()) == 2 * (396 * 396 + (214 - 31) * (214 - 31))  # an odd side is halved upwards
    dataset = PhotoPatches('test')
    assert len(dataset) == 2 * (396 * (213 - 31) + (214 - 31) * (107 - 31))
    assert dataset.patch(len(dataset) - 1).shape == (3, 32, 32)


def test_half_size_is_the_mean_of_two_by_two_pixels():
    dataset = PhotoPatches('test')
    start = dataset.ends[0]
    block = CHINA[:64, :64].reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(dataset[start]['inputs'].permute(1, 2, 0).numpy() - block).max() <= 1


def test_batches_and_mirror_images_are_those_of_single_reads():
    dataset = PhotoPatches(flip=True)
    indices = [3, len(dataset) - 1, 200_000]
    batch = stack_samples(dataset.__getitems__(indices))
    assert torch.equal(batch['inputs'], torch.stack([dataset[index]['inputs'] for index in indices]))
    assert torch.equal(dataset[len(dataset) // 2]['inputs'].flip(-1), dataset[0]['inputs'])


def test_held_out_part_shares_no_pixel_with_the_other():
    assert torch.equal(
        torch.cat([part.photos[0] for part in (PhotoPatches('test'), PhotoPatches())], 2),
        torch.from_numpy(CHINA.copy()).permute(2, 0, 1),
    )


def test_patches_apart_lie_side_by_side():
    dataset = PhotoPatches('test')
    photo, half = dataset.photos[:2]
    columns, rows = 213 // 32, 427 // 32
    assert len(dataset.apart) == 2 * (columns * rows + (107 // 32) * (214 // 32))
    for row, column in ((0, 0), (0, 1), (1, 0), (rows - 1, columns - 1)):
        patch = dataset.patch(dataset.apart[row * columns + column])
        assert torch.equal(patch, photo[:, 32 * row : 32 * row + 32, 32 * column : 32 * column + 32])
    assert torch.equal(dataset.patch(dataset.apart[columns * rows]), half[:, :32, :32])
    assert max(dataset.apart) < len(dataset) == PhotoPatches('test', flip=True).num_images


def test_fingerprint_tells_settings_apart():
    variants = [PhotoPatches(), PhotoPatches('test'), PhotoPatches(size=31), PhotoPatches(flip=True)]
    assert len({variant.fingerprint for variant in variants}) == 4
    assert PhotoPatches().fingerprint == variants[0].fingerprint


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match='one of train, test'):
        PhotoPatches('val')
    with pytest.raises(InputError, match='at most 107, got 108'):
        PhotoPatches('test', size=108)


def test_patches_may_have_other_proportions():
    dataset = PhotoPatches('test', (16, 24))
    assert dataset[0]['inputs'].shape == (3, 16, 24) and dataset[len(dataset) - 1]['inputs'].shape == (3, 16, 24)
    square = PhotoPatches('test', 16)
    assert torch.equal(dataset[0]['inputs'][..., :16], square[0]['inputs'])
    assert len(dataset.apart) < len(square.apart)
