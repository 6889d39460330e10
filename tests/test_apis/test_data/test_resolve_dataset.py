import json
import zipfile

import cv2
import numpy as np
import pytest

from mmcm.apis.data.resolve_dataset import dataset_config, find_dataset, images_config
from mmcm.datasets import DigitsDataset, ImageFolder, ImagePack
from mmcm.utils.errors import InputError


def write_images(folder, names, side=8):
    for index, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.full((side, side, 3), 10 * index + 1, np.uint8))


def test_a_config_means_its_training_data_without_mirror_images(tmp_path):
    (tmp_path / 'flipped.py').write_text(
        "train_dataloader = dict(dataset=dict(type='ImageFolder', data_root='x', flip=True, pipeline=[dict("
        "type='LoadImage'), dict(type='RandomFlip', prob=0.5), dict(type='PackImage')]))"
    )
    config = dataset_config(tmp_path / 'flipped.py')
    assert config['flip'] is False
    assert [transform['type'] for transform in config['pipeline']] == ['LoadImage', 'PackImage']
    assert dataset_config(dict(type='CIFAR10', flip=True)) == dict(type='CIFAR10', flip=False)
    assert isinstance(find_dataset('cd_1xb32_digits-8x8'), DigitsDataset)
    assert dataset_config('digits') == dataset_config('cd_1xb32_digits-8x8')  # a model of the zoo


@pytest.mark.parametrize('kind', ['folder', 'npz'])
@pytest.mark.parametrize('channels', [1, 3])
def test_grey_images_in_files_are_grey_where_that_is_asked_for(tmp_path, kind, channels):
    write_images(tmp_path, ['0.png', '1.png', '2.png'])
    source = tmp_path
    if kind == 'npz':
        source = tmp_path / 'x.npz'
        pixels = np.stack([find_dataset(tmp_path)[index]['inputs'].permute(1, 2, 0) for index in range(3)])
        np.savez(source, pixels[..., :1] if channels == 3 else pixels)  # the other than is asked for
    data = find_dataset(source, channels=channels)
    for index in range(3):
        assert data[index]['inputs'].shape == (channels, 8, 8) and (data[index]['inputs'] == 10 * index + 1).all()
    assert dataset_config(tmp_path, channels=3) == dataset_config(tmp_path)
    assert find_dataset(tmp_path, size=4, channels=1)[0]['inputs'].shape == (1, 4, 4)


def test_what_is_no_data_set_of_images_is_refused(tmp_path):
    with pytest.raises(InputError, match='SamplingRequests is no data set of images'):
        find_dataset(dict(type='SamplingRequests', num_samples=2))
    for pipeline in (3, 'LoadImage', [3], [dict(size=3)]):
        with pytest.raises(InputError, match='pipeline has to be a list of transforms'):
            dataset_config(dict(type='ImageFolder', data_root='x', pipeline=pipeline))
    for loader in (None, dict(dataset=3)):
        (tmp_path / 'c.py').write_text(f'train_dataloader = {loader}')
        with pytest.raises(InputError, match='names no data'):
            dataset_config(tmp_path / 'c.py')


@pytest.mark.parametrize('labels', [None, [1, 0]])
def test_an_npz_has_labels_where_it_has_them(tmp_path, labels):
    extra = [] if labels is None else [np.array(labels)]
    np.savez(tmp_path / 'x.npz', np.zeros((2, 4, 4, 3), np.uint8), *extra)
    data = find_dataset(tmp_path / 'x.npz')
    assert isinstance(data, ImagePack)
    assert labels == (None if data.labels is None else data.labels.tolist())


@pytest.mark.parametrize('kind', ['folder', 'zip'])
@pytest.mark.parametrize(
    'names, stated, expected',
    [
        (['b/0.png', 'a/1.png'], None, [0, 1]),
        (['0.png', '1.png'], None, None),
        (['b/0.png', '1.png'], None, None),
        (['fruit/b/0.png', 'fruit/a/1.png'], None, [0, 1]),
        (
            ['fruit/b/0.png', 'fruit/a/1.png'],
            {'fruit/dataset.json': {'labels': [['b/0.png', 4], ['a/1.png', 0]]}},
            [0, 4],
        ),
        (['0.png', '1.png'], {'labels': [['0.png', 3], ['1.png', 1]]}, [3, 1]),
        (['b/0.png', 'a/1.png'], {'labels': None}, None),
    ],
)
def test_images_in_files_have_classes_by_subfolders_or_a_list(tmp_path, kind, names, stated, expected):
    root = tmp_path / 'images'
    write_images(root, names)
    if stated is not None:
        lists = stated if 'labels' not in stated else {'dataset.json': stated}
        for name, content in lists.items():
            (root / name).write_text(json.dumps(content))
    if kind == 'zip':
        with zipfile.ZipFile(tmp_path / 'images.zip', 'w') as archive:
            for path in root.rglob('*.*'):
                archive.write(path, path.relative_to(root))
        root = tmp_path / 'images.zip'
    data = find_dataset(root, size=4)
    assert isinstance(data, ImageFolder) and len(data) == 2 and data[0]['inputs'].shape == (3, 4, 4)
    assert expected == (None if data.labels is None else data.labels.tolist())
    assert find_dataset(root)[0]['inputs'].shape == (3, 8, 8)  # as it is


@pytest.mark.parametrize('loose, expected', [(1, [0, 1]), (2, None), (3, None)])
def test_a_few_images_beside_the_classes_do_not_take_the_labels_away(tmp_path, loose, expected, monkeypatch):
    told = []
    monkeypatch.setattr('mmcm.apis.data.resolve_dataset.log_warning', lambda text, *_: told.append(text))
    write_images(tmp_path, ['a/0.png', 'b/1.png', *(f'{index}.png' for index in range(loose))])
    (tmp_path / 'notes').mkdir()  # no folder of images
    data = find_dataset(tmp_path)
    assert expected == (None if data.labels is None else data.labels.tolist())
    if expected is None:
        assert len(data) == 2 + loose and f'since {loose} lie beside 2 folders of images, 0.png first' in told[0]


def test_subfolders_are_classes_only_where_they_are_said_to_be(tmp_path):
    write_images(tmp_path / 'images', ['b/0.png', 'a/1.png'])
    assert [images_config(tmp_path / 'images', by_subfolder=by)['labelled'] for by in (True, False)] == [True, False]
    (tmp_path / 'images' / 'dataset.json').write_text(json.dumps({'labels': [['b/0.png', 3], ['a/1.png', 1]]}))
    assert images_config(tmp_path / 'images', by_subfolder=False)['labelled'] is True
    assert images_config(tmp_path / 'nothing') is None


@pytest.mark.parametrize(
    'source, message',
    [
        ('nothing_of_the_kind', 'is no data set'),
        ('missing.npz', 'missing.npz'),
        ('missing.zip', 'missing.zip'),
        ('missing.py', 'missing.py'),
        ('missing.ZIP', 'missing.ZIP'),
    ],
)
def test_what_is_not_there_is_said_in_one_line(tmp_path, monkeypatch, source, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as raised:
        find_dataset(source)
    assert '\n' not in str(raised.value)


def test_an_empty_folder_and_a_config_without_data_are_refused(tmp_path):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match='holds no images'):
        find_dataset(tmp_path / 'empty')
    (tmp_path / 'model.py').write_text("model = dict(type='ConsistencyModel')")
    with pytest.raises(InputError, match='names no data'):
        find_dataset(tmp_path / 'model.py')
