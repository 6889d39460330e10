import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch.utils.data import DataLoader

from mmcm.datasets import ImagePack, stack_samples
from mmcm.registry import DATASETS
from mmcm.utils.errors import InputError

CONFIGS = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets'
IMAGES = np.random.RandomState(0).randint(0, 256, (7, 4, 6, 3)).astype(np.uint8)
LABELS = np.array([2, 0, 1, 1, 3, 0, 2])


@pytest.fixture(params=[np.savez, np.savez_compressed], ids=['stored', 'compressed'])
def path(request, tmp_path):
    request.param(tmp_path / 'x.npz', IMAGES, LABELS)  # as ADM's reference batches and numpy's users write them
    return tmp_path / 'x.npz'


def test_images_are_handed_out_channels_first(path):
    dataset = ImagePack(path)
    assert len(dataset) == 7 and dataset.num_classes == 4 and dataset.labels.tolist() == LABELS.tolist()
    for index, sample in enumerate(dataset):
        assert np.array_equal(sample['inputs'], IMAGES[index].transpose(2, 0, 1)) and sample['inputs'].is_contiguous()
        assert sample['gt_label'] == LABELS[index]


def test_batch_is_the_stack_of_its_images(path):
    dataset = ImagePack(path, flip=True)
    indices = [3, 10, 0, 13, 3]
    batch, single = dataset.__getitems__(indices), [dataset[index] for index in indices]
    assert torch.equal(batch['inputs'], torch.stack([sample['inputs'] for sample in single]))
    assert batch['gt_label'].tolist() == [sample['gt_label'] for sample in single] == [1, 1, 2, 2, 1]
    assert batch['inputs'].is_contiguous()
    assert np.array_equal(batch['inputs'][1], IMAGES[3, :, ::-1].transpose(2, 0, 1))
    batch['inputs'].zero_()
    assert np.array_equal(dataset[3]['inputs'], IMAGES[3].transpose(2, 0, 1))


def test_pipeline_gets_what_mmcv_would_read(path):
    plain, packed = ImagePack(path, flip=True), ImagePack(path, flip=True, pipeline=[dict(type='PackImage')])
    for index in (2, 9):
        assert torch.equal(packed[index]['inputs'], plain[index]['inputs'])


def test_grey_images_and_images_without_labels(tmp_path):
    np.savez(tmp_path / 'x.npz', IMAGES[..., :1])
    dataset = ImagePack(tmp_path / 'x.npz', labelled=False)
    assert dataset[6]['inputs'].shape == (1, 4, 6) and dataset.labels is None and dataset.num_classes is None
    with pytest.raises(InputError, match='x.npz has no labels .arr_1.: set labelled=False'):
        ImagePack(tmp_path / 'x.npz')


@pytest.mark.parametrize('method, workers', [('fork', 2), ('spawn', 1)])  # spawning takes seconds
def test_worker_processes_map_the_file_themselves(tmp_path, method, workers):
    np.savez(tmp_path / 'x.npz', IMAGES, LABELS)
    loader = DataLoader(
        ImagePack(tmp_path / 'x.npz'),
        batch_size=3,
        num_workers=workers,
        collate_fn=stack_samples,
        multiprocessing_context=method,
    )
    batches = list(loader)
    assert np.array_equal(torch.cat([batch['inputs'] for batch in batches]), IMAGES.transpose(0, 3, 1, 2))
    assert torch.cat([batch['data_samples'].gt_label.label for batch in batches]).tolist() == LABELS.tolist()


def test_what_worker_processes_are_sent_holds_no_images(tmp_path):
    np.savez(tmp_path / 'x.npz', np.zeros((1000, 32, 32, 3), np.uint8))
    dataset = ImagePack(tmp_path / 'x.npz', labelled=False)
    content = pickle.dumps(dataset)
    assert len(content) < 5000 and len(pickle.loads(content).images) == 1000


def test_fingerprint_tells_files_and_what_is_made_of_them_apart(path):
    fingerprints = [
        ImagePack(path).fingerprint,
        ImagePack(path, flip=True).fingerprint,
        ImagePack(path, pipeline=[dict(type='PackImage')]).fingerprint,
    ]
    assert ImagePack(path).fingerprint == fingerprints[0]
    np.savez(path, IMAGES + 1, LABELS)
    assert len({*fingerprints, ImagePack(path).fingerprint}) == 4


def test_fingerprint_is_of_the_digest_in_the_file_wherever_that_lies(tmp_path):
    found = []
    turned = IMAGES.reshape(7, 6, 4, 3)  # the same bytes
    for name, sha, images in (
        ('a.npz', 'ab', IMAGES),
        ('b.npz', 'ab', IMAGES),
        ('c.npz', 'cd', IMAGES),
        ('d.npz', 'ab', turned),
    ):
        np.savez(tmp_path / name, images, LABELS)
        with zipfile.ZipFile(tmp_path / name, 'a') as archive:
            archive.writestr('dataset.json', json.dumps(dict(sha256=dict(images=sha), classes=list('abcde'))))
        found.append(ImagePack(tmp_path / name))
    assert found[0].fingerprint == found[1].fingerprint
    assert len({dataset.fingerprint for dataset in found}) == 3
    assert found[0].num_classes == 5 and found[0].metainfo['classes'] == tuple('abcde')


def ragged():
    images = np.empty(2, object)
    images[:] = [IMAGES[0], IMAGES[1, :3]]
    return images


@pytest.mark.parametrize(
    'images, labels, match',
    [
        (IMAGES / 255, LABELS, 'values of type float64: uint8, from 0 to 255, is expected'),
        (IMAGES[0], LABELS, r'has the shape \(4, 6, 3\): \(N, H, W, C\) .*one image, write x\[None\] in place of x'),
        (IMAGES[..., 0], LABELS, r'has the shape \(7, 4, 6\).*write x\[..., None\]'),
        (IMAGES[:0], LABELS[:0], r'has the shape \(0, 4, 6, 3\).*It is empty: write the images again'),
        (IMAGES.transpose(0, 3, 1, 2), LABELS, r'has the shape \(7, 3, 4, 6\).*write x.transpose\(0, 2, 3, 1\)'),
        (np.concatenate([IMAGES, IMAGES[..., :1]], 3), LABELS, r'has the shape \(7, 4, 6, 4\).*write 255 - .*astype'),
        (IMAGES[0, 0], LABELS, r'has the shape \(6, 3\).*Write such an array'),
        (ragged(), LABELS, 'arrays of different shapes do not make one'),
        (IMAGES, LABELS[:6], r'int64 of the shape \(6,\): integers of the shape \(7,\)'),
        (IMAGES, LABELS - 1, 'has the label -1: classes count from 0'),
        (IMAGES, LABELS.astype(np.uint64) + np.uint64(2**63), 'has the label 9223372036854775808: .*up to 999999'),
        (IMAGES, LABELS / 2, 'float64 of the shape'),
        (IMAGES, np.eye(7), r'float64 of the shape \(7, 7\)'),
    ],
)
def test_what_is_no_pack_is_refused(tmp_path, images, labels, match):
    np.savez(tmp_path / 'x.npz', images, labels)
    with pytest.raises(InputError, match=f'x.npz.*{match}'):
        ImagePack(tmp_path / 'x.npz')


def test_labels_beyond_the_classes_of_the_file_are_refused(tmp_path):
    np.savez(tmp_path / 'x.npz', IMAGES, LABELS)
    with zipfile.ZipFile(tmp_path / 'x.npz', 'a') as archive:
        archive.writestr('dataset.json', json.dumps(dict(classes=['a', 'b', 'c'])))
    with pytest.raises(InputError, match='labels up to 3, but names 3 classes'):
        ImagePack(tmp_path / 'x.npz')


@pytest.mark.parametrize('content', ['[1]', '{', '\x00'])
def test_damaged_notes_are_refused(tmp_path, content):
    np.savez(tmp_path / 'x.npz', IMAGES, LABELS)
    with zipfile.ZipFile(tmp_path / 'x.npz', 'a') as archive:
        archive.writestr('dataset.json', content)
    with pytest.raises(InputError, match='dataset.json in .*x.npz is damaged'):
        ImagePack(tmp_path / 'x.npz')


def test_base_config_reads_what_mmcm_pack_writes(path):
    config = Config.fromfile(CONFIGS / 'imagenet1k_packed_64x64.py').train_dataloader.dataset
    dataset = DATASETS.build({**config, 'data_file': str(path)})
    assert len(dataset) == 14 and config.data_file == 'data/imagenet64.npz'
