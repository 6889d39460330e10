import numpy as np
import pytest
import torch

from mmcm.apis import ConsistencyModelInferencer
from mmcm.apis.analysis import one_seed, seed_sheet
from mmcm.apis.analysis.one_seed import Row
from mmcm.utils.errors import InputError
from mmcm.visualization.grids import named_grid
from support.digits import BACKBONE, build, model_config, write_config


@pytest.fixture
def model(tmp_path):
    torch.save(build().denoiser.backbone.state_dict(), tmp_path / 'tiny.pt')
    return str(write_config(tmp_path, checkpoint=str(tmp_path / 'tiny.pt')))


def test_each_row_is_what_its_model_draws_from_the_seeds(model):
    heun = dict(type='HeunSampler', num_steps=3)
    rows = [Row(model, num_steps=1), Row(model, sampler=heun, name='Heun')]
    sheet = seed_sheet(rows, seeds=[3, 11], labels=[4, 7], min_side=8)
    drawn = [
        ConsistencyModelInferencer(model, sampler=sampler)(seed=[3, 11], labels=[4, 7], num_steps=steps).pixels
        for sampler, steps in ((None, 1), (heun, None))
    ]
    assert not torch.equal(*drawn)
    expected = named_grid(
        drawn,
        [f'{model}\n1 network evaluation', 'Heun\n5 network evaluations'],
        ['seed 3\nclass 4', 'seed 11\nclass 7'],
        min_side=8,
    )
    assert np.array_equal(sheet, expected)


def test_unconditional_models_get_no_classes_and_other_sizes_are_scaled(tmp_path, model):
    backbone = dict(BACKBONE, image_size=16, num_classes=None, in_channels=3, out_channels=3)
    other = tmp_path / 'other'
    other.mkdir()
    denoiser = dict(type='KarrasDenoiser', backbone=backbone)
    torch.save(build(denoiser=denoiser).denoiser.backbone.state_dict(), other / 'tiny.pt')
    path = write_config(other, model=model_config(denoiser=denoiser), checkpoint=str(other / 'tiny.pt'))
    sheet = seed_sheet([Row(model, name='8'), Row(str(path), name='16')], seeds=[0], labels=[2], min_side=16)
    tiles = sheet[-2 * 20 :, -20:-4]
    assert np.array_equal(tiles[:16:2, ::2], tiles[1:16:2, 1::2])  # magnified twice
    assert np.array_equal(tiles[20:36], drawn_alone(path))


def drawn_alone(path):
    return ConsistencyModelInferencer(path)(1).pixels[0].permute(1, 2, 0).numpy()


def test_mistakes_are_told_before_anything_is_drawn(model, monkeypatch):
    monkeypatch.setattr(ConsistencyModelInferencer, '__call__', lambda *args, **kwargs: pytest.fail('drawn'))
    for rows, labels in (
        ([Row(model), Row('no_such_model')], None),
        ([Row(model), Row(model, num_steps=0)], None),
        ([Row(model)], [10]),
        ([], None),
    ):
        with pytest.raises(InputError):
            seed_sheet(rows, [0], labels)


def test_random_class_of_a_column_follows_its_seed(model, monkeypatch):
    columns = []
    monkeypatch.setattr(one_seed, 'column_names', lambda seeds, classes: columns.append(classes[0]) or list(classes[0]))
    for seeds in ([3, 11, 5], [5, 3]):
        seed_sheet([Row(model, num_steps=1)], seeds, 'random', min_side=8)
    assert columns[1] == [columns[0][2], columns[0][0]] and len(set(columns[0])) > 1
