import os
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmcm.datasets import ImageNet9
from mmcm.registry import DATASETS
from mmcm.utils.errors import InputError

CONFIGS = Path(__file__).parents[2] / 'configs' / '_base_'
PIPELINE = [dict(type='LoadImage'), dict(type='PackImage')]
NAMES = ('dog', 'cat', 'frog', 'turtle', 'bird', 'monkey', 'fish', 'crab', 'insect')
# As the paper of restricted ImageNet and its library have them: the number of classes of each group.
SIZES = dict(zip(NAMES, (118, 5, 3, 5, 21, 18, 9, 4, 20)))


def wnid(index):
    return f'n{1440764 + 13647 * index:08d}'  # in the order of the classes, with gaps, as the real ones are


@pytest.fixture(scope='module')
def imagenet(tmp_path_factory):
    """Return a folder of 1000 wnids with one image each, whose level tells the class: 256 r + g."""
    root = tmp_path_factory.mktemp('imagenet')
    for index in reversed(range(1000)):
        (root / wnid(index)).mkdir()
        Image.new('RGB', (2, 2), (index // 256, index % 256, 0)).save(root / wnid(index) / f'{wnid(index)}_1.png')
    (root / 'LOC_synset_mapping.txt').write_text('not a class')
    (root / 'n99').mkdir()
    return root


@pytest.fixture
def copy(imagenet, tmp_path):
    return shutil.copytree(imagenet, tmp_path / 'train', copy_function=os.link)


def test_groups_are_the_ranges_of_restricted_imagenet(imagenet):
    dataset = ImageNet9(str(imagenet), PIPELINE)
    assert dataset.metainfo['classes'] == NAMES and dataset.num_classes == 9
    assert {name: (dataset.labels == label).sum() for label, name in enumerate(NAMES)} == SIZES
    assert len(dataset) == 203


@pytest.mark.parametrize(
    'name, first, last',
    [
        ('dog', 151, 268),
        ('cat', 281, 285),
        ('frog', 30, 32),
        ('turtle', 33, 37),
        ('bird', 80, 100),
        ('monkey', 365, 382),
        ('fish', 389, 397),
        ('crab', 118, 121),
        ('insect', 300, 319),
    ],
)
def test_images_of_a_group_are_those_of_its_classes(imagenet, name, first, last):
    dataset = ImageNet9(str(imagenet), PIPELINE)
    found = []
    for index, label in enumerate(dataset.labels):
        if NAMES[label] == name:
            sample = dataset[index]
            assert sample['gt_label'] == label
            red, green, _ = sample['inputs'][:, 0, 0].tolist()
            found.append(256 * red + green)
    assert found == list(range(first, last + 1))


def test_base_config_makes_squares_of_the_images(imagenet):
    config = Config.fromfile(CONFIGS / 'datasets' / 'imagenet9_64x64.py').train_dataloader.dataset
    assert config.data_root == 'data/imagenet/train'
    sample = DATASETS.build({**config, 'data_root': str(imagenet)})[202]
    assert sample['inputs'].shape == (3, 64, 64) and sample['gt_label'] == 8


def test_images_without_classes_have_none(imagenet):
    dataset = ImageNet9(str(imagenet), PIPELINE, labelled=False)
    assert dataset.num_classes is None and dataset[0]['gt_label'] is None
    assert torch.equal(dataset[0]['inputs'][:, 0, 0], torch.tensor([0, 151, 0], dtype=torch.uint8))


@pytest.mark.parametrize('around', ['', 'train/'])
def test_zip_file_of_the_folders_is_read_alike(imagenet, tmp_path, around):
    with zipfile.ZipFile(tmp_path / 'train.zip', 'w') as archive:
        for path in imagenet.glob('*/*.png'):
            archive.write(path, around + path.relative_to(imagenet).as_posix())
    zipped, plain = (ImageNet9(str(root), PIPELINE, flip=True) for root in (tmp_path / 'train.zip', imagenet))
    assert zipped.labels.tolist() == plain.labels.tolist() and len(zipped) == 406
    assert all(torch.equal(zipped[index]['inputs'], plain[index]['inputs']) for index in range(0, 406, 29))


def test_missing_class_would_shift_the_others_and_is_refused(copy):
    shutil.rmtree(copy / wnid(999))
    with pytest.raises(InputError, match='has 999 folders named by a wnid.*1000 folders.*image-net.org'):
        ImageNet9(str(copy), PIPELINE)


def test_class_without_images_is_refused(copy):
    (copy / wnid(281) / f'{wnid(281)}_1.png').unlink()
    (copy / wnid(280) / f'{wnid(280)}_1.png').unlink()  # in no group
    with pytest.raises(InputError, match=f'{wnid(281)} holds no images'):
        ImageNet9(str(copy), PIPELINE)


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match='there is no data folder .*nowhere.*<wnid>.*image-net.org'):
        ImageNet9(str(tmp_path / 'nowhere'), PIPELINE)
