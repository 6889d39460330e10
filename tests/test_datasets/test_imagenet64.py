import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mmcm.datasets import ImageNet64, stack_samples
from mmcm.utils.errors import InputError

NAMES = [*(f'train_data_batch_{number}.npz' for number in range(1, 11)), 'val_data.npz']


def batch(number, count=3, side=64):
    random = np.random.RandomState(number)
    data = random.randint(0, 256, (count, 3 * side**2)).astype(np.uint8)
    return dict(data=data, labels=random.randint(1, 1001, count), mean=data.mean(axis=0))


def write(folder, save=np.savez, **options):
    for number, name in enumerate(NAMES):
        save(folder / name, **batch(number, 2 + number % 3, **options))
    return folder


@pytest.fixture
def root(tmp_path):
    return write(tmp_path)


def wnids():
    """Return 1000 wnids in an order that is not theirs."""
    return [f'n{number:08d}' for number in np.random.RandomState(0).permutation(10**6)[:1000]]


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
@pytest.mark.parametrize('side', [32, 64])
def test_images_come_in_the_order_of_the_files(tmp_path, save, side):
    dataset = ImageNet64(str(write(tmp_path, save, side=side)))
    batches = [batch(number, 2 + number % 3, side) for number in range(10)]
    data, labels = (np.concatenate([part[key] for part in batches]) for key in ('data', 'labels'))
    assert len(dataset) == len(data) == 29 and dataset.num_classes == 1000
    assert np.array_equal(dataset.labels, labels - 1)
    for index, sample in enumerate(dataset):
        # all red values, row by row, then green and blue
        assert np.array_equal(sample['inputs'].flatten(), data[index]) and sample['inputs'].shape == (3, side, side)
        assert sample['gt_label'] == labels[index] - 1


def test_batch_over_several_files_is_the_stack_of_its_images(root):
    dataset = ImageNet64(str(root), flip=True)
    indices = np.random.RandomState(0).permutation(58).tolist()
    fetched, single = dataset.__getitems__(indices), [dataset[index] for index in indices]
    assert torch.equal(fetched['inputs'], torch.stack([sample['inputs'] for sample in single]))
    assert fetched['gt_label'].tolist() == [sample['gt_label'] for sample in single]
    assert torch.equal(dataset[29]['inputs'], dataset[0]['inputs'].flip(-1))


def test_split_chooses_the_files(root):
    dataset = ImageNet64(str(root), split='val', labelled=False)
    assert np.array_equal(dataset.images.flatten(1), batch(10, 3)['data']) and dataset.labels is None
    with pytest.raises(InputError, match="one of train, val, got 'test'"):
        ImageNet64(str(root), split='test')


def test_class_file_renumbers_to_the_sorted_wnids(root):
    names = wnids()
    lines = (f'{name} {number} some_name' for number, name in enumerate(names, 1))
    (root / 'map_clsloc.txt').write_text('\n'.join(lines))
    plain, renumbered = batch(10, 3)['labels'], ImageNet64(str(root), 'val')
    assert renumbered.labels.tolist() == [sorted(names).index(names[number - 1]) for number in plain]
    assert renumbered.metainfo['classes'] == tuple(sorted(names))


@pytest.mark.parametrize(
    'content, match',
    [
        ('', 'names 0 wnids by 0 numbers'),
        ('n02119789 kit_fox', 'cannot be read: lines such as "n02119789 1 kit_fox"'),
        ('\n'.join(f'{name} {number}' for number, name in enumerate(wnids())), 'names 1000 wnids by 1000 numbers'),
        ('\n'.join(f'n00000001 {number}' for number in range(1, 1001)), 'names 1 wnids by 1000 numbers'),
    ],
)
def test_other_class_files_are_refused(root, content, match):
    (root / 'map_clsloc.txt').write_text(content)
    with pytest.raises(InputError, match=f'map_clsloc.txt {match}'):
        ImageNet64(str(root))


def test_missing_files_are_told(root, tmp_path):
    (root / NAMES[3]).unlink()
    (root / NAMES[7]).unlink()
    with pytest.raises(InputError, match='lacks train_data_batch_4.npz, train_data_batch_8.npz: unpack'):
        ImageNet64(str(root))


@pytest.mark.parametrize(
    'change, match',
    [
        (dict(data=np.zeros((3, 12287), np.uint8)), r'data in .* is uint8 of the shape \(3, 12287\)'),
        (dict(data=np.zeros((3, 12288))), 'data in .* is float64'),
        (dict(data=np.zeros((3, 3, 64, 64), np.uint8)), r'of the shape \(3, 3, 64, 64\)'),
        (dict(labels=np.array([1, 2])), r'labels in .* are int64 of the shape \(2,\) for 3 images'),
        (dict(labels=np.array([0, 1, 2])), 'go from 0 to 2: 1 to 1000 is expected'),
        (dict(labels=np.array([1, 1001, 2])), 'go from 1 to 1001'),
        (dict(labels=np.array([1.0, 2.0, 3.0])), 'labels in .* are float64'),
    ],
)
def test_files_that_do_not_fit_are_refused(root, change, match):
    np.savez(root / 'val_data.npz', **{**batch(10, 3), **change})
    with pytest.raises(InputError, match=match):
        ImageNet64(str(root), 'val')


def test_files_of_two_sizes_are_refused(root):
    np.savez(root / NAMES[4], **batch(4, 3, side=32))
    with pytest.raises(InputError, match=r'images of the sides \[32, 64\]'):
        ImageNet64(str(root))


def test_other_processes_map_the_files_themselves(root):
    dataset = ImageNet64(str(root))
    content = pickle.dumps(dataset)
    assert len(content) < 20000 and torch.equal(pickle.loads(content).images, dataset.images)
    loader = DataLoader(dataset, batch_size=10, num_workers=2, collate_fn=stack_samples)
    assert torch.equal(torch.cat([part['inputs'] for part in loader]), dataset.images)


def test_source_of_an_image_is_its_file_and_place(root):
    dataset = ImageNet64(str(root), flip=True)
    assert dataset.source_of(0).endswith('image 0 of ' + str(root / NAMES[0]))
    assert dataset.source_of(2) == f'image 0 of {root / NAMES[1]}' and dataset.source_of(29 + 28) == (
        f'image 1 of {root / NAMES[9]}'
    )
