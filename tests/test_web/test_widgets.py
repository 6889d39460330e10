import numpy as np
import pytest
import torch

pytest.importorskip('gradio')

from mmcm.apis.editing.request import TASKS
from mmcm.utils.errors import InputError
from mmcm.web.edit_tab import steps_of
from mmcm.web.limits import Limits
from mmcm.web.model_pool import ModelPool
from mmcm.web.sample_tab import noise_in_words
from mmcm.web.widgets import duration, label_choices, labels_of, page_grid, sampler_of_steps, steps_range, time_in_words


@pytest.fixture(scope='module')
def pool(models):
    return ModelPool(list(vars(models).values()), 'cpu')


def test_classes_have_names_numbers_or_are_none(pool, models):
    assert label_choices(pool.get('digits'))[:3] == [('balanced', 'balanced'), ('random', 'random'), ('0', '0')]
    assert label_choices(pool.get('named'), rules=())[3] == ('3 three', '3')
    assert label_choices(pool.get('colour')) == []
    assert label_choices(ModelPool(['mnist'], 'cpu').get('mnist'), rules=())[7] == ('7', '7')  # not 7 7
    assert pool.get('named').request(labels=[3, 1]).names == ['three', 'one']
    assert pool.get('digits').request(labels=[3, 1]).names == ['3', '1']
    assert pool.get('colour').request().names is None
    assert labels_of(pool.get('colour'), 'whatever') is None
    with pytest.raises(InputError):
        labels_of(pool.get('digits'), 3)


def test_steps_are_those_that_the_model_can_take(pool, models):
    assert steps_range(pool.get('digits'), Limits()) == dict(minimum=1, maximum=17, value=1, step=1)
    assert steps_range(pool.get('colour'), Limits(steps=10)) == dict(minimum=1, maximum=10, value=2, step=1)
    assert steps_range(pool.get('diffusion'), Limits(steps=50)) == dict(minimum=1, maximum=50, value=5, step=1)
    digits = pool.get('digits')
    assert sampler_of_steps(digits, 1) is digits.sampler
    assert len(sampler_of_steps(digits, 17).sigmas) == 17
    assert sampler_of_steps(pool.get('diffusion'), 9).nfe == 17


@pytest.mark.parametrize(
    'size, count, columns, side',
    [(8, 20, 10, 72), (8, 1, None, 256), (8, 4, 30, 176), (8, 100, 50, 64), (32, 20, 10, 64), (256, 4, 2, 256)],
)
def test_sheet_enlarges_by_whole_numbers_as_far_as_there_is_room(size, count, columns, side):
    pixels = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)
    drawn = page_grid(pixels, columns)
    first = pixels[0].permute(1, 2, 0).numpy().repeat(side // size, 0).repeat(side // size, 1)
    assert np.array_equal(drawn[4 : 4 + side, 4 : 4 + side], first)
    assert (drawn.shape[1] - 4) % (side + 4) == 0


def test_long_names_of_classes_are_cut(monkeypatch):
    written = []
    monkeypatch.setattr(
        'mmcm.visualization.grids.caption',
        lambda width, text, *_: written.append(text) or np.zeros((16, width, 3), np.uint8),
    )
    page_grid(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), 20, ['hen', 'a name that is far too long' * 2])
    assert written[0] == 'hen' and written[1].endswith('..') and len(written[1]) < 40


def test_times_in_words():
    assert [duration(seconds) for seconds in (0.00123456, 0.5, 2, 61.26)] == ['1.23 ms', '500 ms', '2 s', '61.3 s']
    assert time_in_words(4, 0.2, 1, 'cpu') == (
        '**50 ms per image**: 4 images in 200 ms, 1 network evaluation each, on cpu.'
    )
    assert time_in_words(1, 2, 3, 'cuda') == '**2 s** for the image, 3 network evaluations, on cuda.'


@pytest.mark.parametrize('height, width', [(8, 24), (24, 8)])
def test_grid_of_other_proportions_has_the_width_of_one_of_squares(height, width):
    drawn = page_grid(torch.zeros(9, 3, height, width, dtype=torch.uint8), 3)
    square = page_grid(torch.zeros(9, 3, 24, 24, dtype=torch.uint8), 3)
    assert drawn.shape[1] <= square.shape[1] and drawn.shape[0] <= square.shape[0]


def test_flow_map_takes_any_number_of_steps_and_edits_at_free_levels(models):
    inferencer = ModelPool([models.flow_map], 'cpu').get('flow_map')
    assert [sampler_of_steps(inferencer, number).num_steps for number in (1, 2, 5)] == [1, 2, 5]
    assert steps_range(inferencer, Limits())['value'] == 1
    tasks = {name for name, task in TASKS.items() if task.sigmas is not None}
    assert tasks and not any(steps_of(inferencer, name).visible for name in tasks)  # their levels are given


def test_live_text_names_no_level_where_there_is_no_image_yet(models):
    first = ModelPool([models.flow_map], 'cpu').get('flow_map').sampler.first_sigma
    assert noise_in_words(first) == 'noise alone'
    assert noise_in_words(80.0) == 'noise of level **80**'
