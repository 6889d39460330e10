import hashlib
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mmcm.datasets import DigitsDataset, ImageFolder, ImageSplit, stack_samples
from mmcm.datasets.image_split import is_held_out
from mmcm.registry import DATASETS
from mmcm.structures import labels_of
from mmcm.utils.errors import InputError
from support.image_folders import write_folder

PIPELINE = [dict(type='LoadImage'), dict(type='PackImage')]


def folder_split(root, split, held_out=0.3, **settings):
    return ImageSplit(dict(type='ImageFolder', data_root=str(root), pipeline=PIPELINE, **settings), split, held_out)


def names(dataset):
    return [dataset.name_of(position) for position in range(dataset.num_images)]


def pixels(dataset):
    return [dataset[index]['inputs'].numpy().tobytes() for index in range(len(dataset))]


def test_sides_have_all_images_and_none_in_common(tmp_path):
    root = write_folder(tmp_path, 40)
    train, held_out = folder_split(root, 'train'), folder_split(root, 'held_out')
    whole = ImageFolder(str(root), PIPELINE)
    assert sorted(pixels(train) + pixels(held_out)) == sorted(pixels(whole))
    assert not set(pixels(train)) & set(pixels(held_out))
    assert train.metainfo == held_out.metainfo == whole.metainfo and train.num_classes == 2


def test_side_of_an_image_is_that_of_the_sha256_of_its_name():
    expected = int.from_bytes(hashlib.sha256(b'cat/7.png').digest()[:8], 'big') / 2**64
    assert is_held_out([b'cat/7.png'], expected + 1e-6).tolist() == [True]
    assert is_held_out([b'cat/7.png'], expected - 1e-6).tolist() == [False]


def test_images_that_are_added_move_no_other_to_the_other_side(tmp_path):
    root = write_folder(tmp_path / 'images', 20)
    before = names(folder_split(root, 'held_out'))
    write_folder(root, 40)
    after = names(folder_split(root, 'held_out'))
    assert set(before) < set(after)
    root.rename(tmp_path / 'elsewhere')
    assert names(folder_split(tmp_path / 'elsewhere', 'held_out')) == after


def test_fraction_of_many_images_is_that_which_is_asked_for():
    number = len(ImageSplit(dict(type='DigitsDataset'), 'held_out', 0.25))
    assert abs(number - 1797 / 4) < 4 * np.sqrt(1797 * 0.25 * 0.75)  # binomial


def test_mirror_images_labels_and_sources_are_those_of_the_whole_data_set(tmp_path):
    root = write_folder(tmp_path, 20)
    split = folder_split(root, 'train', flip=True)
    whole = ImageFolder(str(root), PIPELINE, flip=True)
    assert len(split) == 2 * split.num_images and len(split.labels) == len(split)
    place = {whole.source_of(index): index for index in range(whole.num_images)}
    for index in range(split.num_images):
        original = place[split.source_of(index)]
        for mine, theirs in ((index, original), (index + split.num_images, original + whole.num_images)):
            assert torch.equal(split[mine]['inputs'], whole[theirs]['inputs'])
            assert split[mine]['gt_label'] == whole[theirs]['gt_label'] == split.labels[mine]


@pytest.mark.parametrize('kind', ['arrays', 'files'])
def test_loader_gets_the_same_batches_as_items(tmp_path, kind):
    if kind == 'arrays':
        split = ImageSplit(dict(type='DigitsDataset'), 'held_out')
    else:
        split = folder_split(write_folder(tmp_path, 20), 'train', flip=True)
    (batch,) = DataLoader(split, batch_size=len(split), collate_fn=stack_samples)
    assert torch.equal(batch['inputs'], torch.stack([split[index]['inputs'] for index in range(len(split))]))
    assert labels_of(batch['data_samples']).tolist() == split.labels.tolist()


def test_negative_index_counts_from_the_end():
    split = ImageSplit(dict(type='DigitsDataset'), 'held_out')
    assert torch.equal(split[-1]['inputs'], split[len(split) - 1]['inputs'])


def test_worker_processes_get_the_same_split(tmp_path):
    split = folder_split(write_folder(tmp_path, 20), 'held_out')
    assert pixels(pickle.loads(pickle.dumps(split))) == pixels(split)


def test_fingerprint_tells_sides_and_fractions_apart():
    config = dict(type='DigitsDataset')
    splits = [ImageSplit(config), ImageSplit(config, 'held_out'), ImageSplit(config, held_out=0.2)]
    assert len({split.fingerprint for split in [*splits, DigitsDataset()]}) == 4


def test_transparency_is_that_of_the_files(tmp_path):
    split = folder_split(write_folder(tmp_path, 20), 'train')
    assert split.transparency is split.whole.transparency


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(held_out=0.0), 'held_out has to be a fraction above 0 and below 1, got 0.0'),
        (dict(held_out=1), 'below 1, got 1'),
        (dict(held_out='a'), 'held_out of ImageSplit has to be a number'),
        (dict(split='test'), 'split has to be one of train, held_out'),
        (dict(split='held_out', held_out=1e-9), "leaves none of 1797 images for 'held_out'"),
        (dict(dataset=dict(type='SamplingRequests', num_samples=3)), 'dataset has to be a data set of images'),
        (dict(dataset=dict(type='PhotoPatches')), "images of PhotoPatches overlap.*split='train'"),
    ],
)
def test_split_that_holds_nothing_out_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        DATASETS.build(dict(dict(type='ImageSplit', dataset=dict(type='DigitsDataset')), **settings))
