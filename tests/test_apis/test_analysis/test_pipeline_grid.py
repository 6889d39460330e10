import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmcm.apis.analysis.pipeline_grid import pipeline_config, pipeline_sheet, stages_of
from mmcm.apis.data.resolve_dataset import build_images
from mmcm.utils.errors import InputError


@pytest.fixture
def pictures(tmp_path):
    for name, width in (('a', 30), ('b', 20)):
        pixels = np.zeros((20, width, 3), np.uint8)
        pixels[..., 2] = np.arange(width) * 8  # red, in BGR
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / 'x.png'), pixels)
    return tmp_path


def dataset(config):
    return build_images(config.train_dataloader.dataset)


def test_stages_are_the_images_after_each_transform(pictures):
    stages = dict(stages_of(dataset(pipeline_config(str(pictures), 8)), 0))
    assert list(stages) == ['LoadImage', 'CenterCropToSquare', 'PackImage']
    assert stages['LoadImage'].shape == (3, 20, 30)
    assert stages['LoadImage'][0, 0].tolist() == list(range(0, 240, 8)) and not stages['LoadImage'][1:].any()  # RGB
    assert torch.equal(stages['CenterCropToSquare'], stages['PackImage']) and stages['PackImage'].shape == (3, 8, 8)


def test_mirror_image_and_split_are_those_of_the_training(pictures):
    config = pipeline_config(str(pictures), 8).train_dataloader.dataset
    split = dict(type='ImageSplit', dataset=dict(config, flip=True), held_out=1e-6)
    stages = dict(stages_of(build_images(split), 1))
    assert torch.equal(stages['mirror image'], stages['PackImage'].flip(-1))


def test_stored_images_have_one_stage():
    assert [name for name, _ in stages_of(dataset(pipeline_config('digits')), 3)] == ['stored']


def test_grid_has_the_draws_of_the_augmentation_and_leaves_random_numbers_alone(pictures):
    config = pipeline_config(str(pictures), 8)
    plain = pipeline_sheet(config, 2, side=32)
    config.model = dict(augmentation=dict(type='EDMAugmentation', probability=1.0))
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    sheet = pipeline_sheet(config, 2, draws=2, side=32)
    assert torch.equal(torch.rand(1), expected)
    assert sheet.shape == (plain.shape[0], plain.shape[1] + 2 * (32 + 4), 3)
    assert (sheet == pipeline_sheet(config, 2, draws=2, side=32)).all()
    assert (sheet != pipeline_sheet(config, 2, draws=2, seed=1, side=32)).any()


def test_config_without_data_is_refused():
    with pytest.raises(InputError, match='names no data'):
        pipeline_sheet(Config(dict(model=dict())))
    with pytest.raises(InputError, match='num_images'):
        pipeline_sheet(Config(), 0)
