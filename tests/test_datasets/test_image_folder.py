from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmcm.datasets import ImageFolder
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError

CONFIGS = Path(__file__).parents[2] / 'configs' / 'edm'
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackImage')]


def write_image(path, colour, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', size, colour).save(path)


@pytest.fixture
def folder(tmp_path):
    """Return a folder of three classes, whose images are uniformly grey, and a file that is none."""
    write_image(tmp_path / 'n02' / 'b.png', (200, 200, 200))
    write_image(tmp_path / 'n02' / 'a.JPEG', (100, 100, 100))
    write_image(tmp_path / 'n10' / 'part' / 'c.jpg', (150, 150, 150))
    write_image(tmp_path / 'n01' / 'd.png', (50, 50, 50))
    (tmp_path / 'n01' / 'notes.txt').write_text('not an image')
    return tmp_path


def test_classes_are_the_sorted_names_of_the_subfolders(folder):
    dataset = ImageFolder(str(folder), PIPELINE)
    assert dataset.metainfo['classes'] == ('n01', 'n02', 'n10')
    assert [dataset[index]['gt_label'] for index in range(len(dataset))] == [0, 1, 1, 2]


def test_images_come_in_the_order_of_their_paths(folder):
    dataset = ImageFolder(str(folder), PIPELINE)
    images = torch.stack([dataset[index]['inputs'] for index in range(len(dataset))])
    assert images.shape == (4, 3, 4, 6) and images.dtype == torch.uint8
    assert images.float().mean((1, 2, 3)).tolist() == [50, 100, 200, 150]


def test_images_without_classes_may_lie_anywhere(folder):
    write_image(folder / 'loose.png', (0, 0, 0))
    dataset = ImageFolder(str(folder), PIPELINE, labelled=False)
    assert [dataset[index]['gt_label'] for index in range(len(dataset))] == [None] * 5
    assert dataset.metainfo['classes'] == ()


@pytest.mark.parametrize('name, size', [('edm_8xb512-imagenet1k-64x64', 64), ('edm_8xb32-LSUN-cat-256x256', 256)])
def test_shipped_configs_give_the_model_rgb(tmp_path, name, size):
    write_image(tmp_path / 'n01' / 'red.png', (255, 0, 0), size=(size + 9, size))
    config = Config.fromfile(CONFIGS / f'{name}.py')
    pipeline = config.train_dataloader.dataset.pipeline
    preprocessor = MODELS.build(config.model.get('data_preprocessor', dict(type='ImagePreprocessor')))
    inputs = preprocessor(dict(inputs=[ImageFolder(str(tmp_path), pipeline)[0]['inputs']]))['inputs']
    assert torch.equal(inputs, torch.tensor([1.0, -1, -1]).view(1, 3, 1, 1).expand(1, 3, size, size))


def test_image_beside_the_classes_is_refused(folder):
    write_image(folder / 'loose.png', (0, 0, 0))
    with pytest.raises(InputError, match='loose.png lies in no subfolder'):
        ImageFolder(str(folder), PIPELINE)


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match='there is no data folder .*nowhere'):
        ImageFolder(str(tmp_path / 'nowhere'), PIPELINE)


def test_folder_without_images_is_refused(tmp_path):
    (tmp_path / 'notes.txt').write_text('not an image')
    with pytest.raises(InputError, match='holds no images'):
        ImageFolder(str(tmp_path), PIPELINE)
