import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mmcm.datasets import DigitsDataset, stack_samples
from mmcm.datasets.image_arrays import ImageArrays

IMAGES = torch.from_numpy(np.random.RandomState(0).randint(0, 256, (9, 3, 4, 5)).astype(np.uint8))
LABELS = [2, 0, 1, 1, 0, 0, 2, 1, 0]


def dataset(parts=(IMAGES,), **options):
    return ImageArrays(list(parts), LABELS, 'abc', 'test', **options)


@pytest.mark.parametrize(
    'parts',
    [
        [IMAGES],
        [IMAGES[:4], IMAGES[4:5], IMAGES[5:]],
        [IMAGES.contiguous(memory_format=torch.channels_last)[:6], IMAGES[6:]],
    ],
)
@pytest.mark.parametrize('flip', [False, True])
def test_batch_is_the_stack_of_its_images_however_they_lie(parts, flip):
    images = dataset(parts, flip=flip)
    everything = torch.cat([IMAGES, IMAGES.flip(-1)]) if flip else IMAGES
    indices = np.random.RandomState(1).randint(0, len(images), 30).tolist()
    batch = images.__getitems__(indices)
    assert torch.equal(batch['inputs'], everything[indices]) and batch['inputs'].is_contiguous()
    assert batch['gt_label'].tolist() == [LABELS[index % 9] for index in indices]
    for index in indices:
        assert torch.equal(images[index]['inputs'], everything[index])
        assert images[index]['gt_label'] == LABELS[index % 9]
    assert torch.equal(images.images, IMAGES)


def test_batch_is_a_copy():
    images = dataset()
    before = IMAGES.clone()
    images.__getitems__([0, 1])['inputs'].zero_()
    assert torch.equal(IMAGES, before)


def test_loader_shuffles_and_stacks_as_one_by_one():
    digits = DigitsDataset()
    batches = [
        list(DataLoader(source, 64, shuffle=True, collate_fn=stack_samples, generator=torch.Generator().manual_seed(0)))
        for source in (digits, [digits[index] for index in range(len(digits))])
    ]
    for one, other in zip(*batches):
        assert torch.equal(one['inputs'], other['inputs'])
        assert torch.equal(one['data_samples'].gt_label.label, other['data_samples'].gt_label.label)


def test_fingerprint_is_of_values_and_what_is_made_of_them():
    changed = IMAGES.clone()
    changed[8, 2, 3, 4] ^= 1
    variants = [
        dataset(),
        dataset([changed]),
        dataset(flip=True),
        dataset(pipeline=[dict(type='PackImage')]),
        dataset([IMAGES.reshape(9, 3, 5, 4)]),
    ]
    assert len({variant.fingerprint for variant in variants}) == len(variants)
    assert dataset([IMAGES[:4], IMAGES[4:]]).fingerprint == dataset().fingerprint
