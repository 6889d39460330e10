import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip('gradio')

from gradio_client.exceptions import AppError

from mmcm.apis import ConsistencyModelInferencer
from mmcm.utils.finite import NotFiniteError
from mmcm.web.sample_tab import Estimates, level_in_words
from mmcm.web.widgets import guidance_slider
from support.digits import BACKBONE, build
from support.web_grids import pixels, tiles

SEED = 7
ASKED = dict(model='digits', label='3', count=4, steps=1, power=0.0, seed=SEED, columns=2, live=False, guidance=1.0)


def ask(client, **changes):
    asked = {**ASKED, **changes}
    return client.predict(*asked.values(), api_name='/sample')


@pytest.fixture(scope='module')
def digits():
    return ConsistencyModelInferencer('digits', device='cpu')


def test_sheet_has_the_pictures_of_the_command_line(client, digits):
    path, words = ask(client)
    expected = pixels(digits(4, '3', SEED))
    drawn = tiles(path, 4, 2, 256)
    assert np.abs(drawn.astype(int) - expected).max() <= 1
    assert 'per image**: 4 images in ' in words and ', 1 network evaluation each, on cpu.' in words


def test_the_slider_is_the_level_of_the_second_step(client, digits):
    path, words = ask(client, steps=2, power=-0.3)
    expected = pixels(digits(4, '3', SEED, sigmas=(80, 10**-0.3)))
    assert np.abs(tiles(path, 4, 2, 256).astype(int) - expected).max() <= 1
    assert '2 network evaluations each' in words
    other, _ = ask(client, steps=2, power=0.5)
    assert np.abs(tiles(other, 4, 2, 256).astype(int) - expected).max() > 10


def test_other_steps_are_those_of_the_schedule(client, digits):
    path, _ = ask(client, steps=4, label='balanced', count=10, columns=10)
    expected = pixels(digits(10, 'balanced', SEED, num_steps=4))
    assert np.abs(tiles(path, 10, 10, 72).astype(int) - expected).max() <= 1


def test_live_steps_come_one_by_one_with_their_levels(client, digits):
    job = client.submit(*{**ASKED, 'steps': 3, 'live': True}.values(), api_name='/sample')
    job.result(timeout=60)
    outputs = job.outputs()
    levels = digits.choose_sampler(3).sigmas
    assert [words for _, words in outputs[:-1]] == [
        f'Step {step} of 3, from noise of level **{sigma:.3g}**.' for step, sigma in enumerate(levels, 1)
    ]
    last, final = (tiles(outputs[index][0], 4, 2, 256) for index in (-2, -1))
    assert np.array_equal(last, final)
    assert not np.array_equal(tiles(outputs[0][0], 4, 2, 256), final)


def test_models_without_classes_names_and_other_samplers(client, models):
    path, words = ask(client, model='colour', label='no class', count=2, steps=1)
    drawing = ConsistencyModelInferencer(models.colour, device='cpu')(2, seed=SEED, num_steps=1)
    assert np.abs(tiles(path, 2, 2, 256, captions=False).astype(int) - pixels(drawing)).max() <= 1
    path, _ = ask(client, model='named', label=' Seven', steps=1)
    drawing = ConsistencyModelInferencer(models.named, device='cpu')(4, 7, SEED, num_steps=1)
    assert np.abs(tiles(path, 4, 2, 256).astype(int) - pixels(drawing)).max() <= 1
    path, words = ask(client, model='diffusion', steps=3)
    drawing = ConsistencyModelInferencer(models.diffusion, device='cpu')(4, 3, SEED, num_steps=3)
    assert np.abs(tiles(path, 4, 2, 256).astype(int) - pixels(drawing)).max() <= 1
    assert '5 network evaluations each' in words  # 2 n - 1


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(count=0), 'minimum value 1'),
        (dict(count=31), 'maximum value 30'),
        (dict(count=2.5), 'integer from 1 to 30'),
        (dict(count=None), 'Images has to be a number'),
        (dict(count='4'), 'has to be a number'),
        (dict(count=True), 'has to be a number'),
        (dict(count=[4]), 'has to be a number'),
        (dict(steps=0), 'minimum value 1'),
        (dict(steps=18), 'maximum value 17'),
        (dict(steps=1.5), 'integer'),
        (dict(seed=-1), 'minimum'),
        (dict(seed=2**32), 'maximum'),
        (dict(seed=None), 'Seed has to be a number'),
        (dict(seed='a'), 'has to be a number'),
        (dict(columns=0), 'minimum'),
        (dict(columns=10**9), 'maximum'),
        (dict(label='ten'), 'no class is called'),
        (dict(label='10'), 'out of range'),
        (dict(label=''), 'a class has to be'),
        (dict(label=None), 'a class has to be'),
        (dict(label=['1'] * 9), 'Class has to be one of the choices'),
        (dict(steps=2, power='low'), 'has to be a number'),
        (dict(live=None), 'true or false'),
        (dict(guidance='much'), 'has to be a number'),
        (dict(guidance=None), 'has to be a number'),
        (dict(guidance=0.5), 'minimum value 1'),
        (dict(guidance=100), 'maximum value 10'),
        (dict(steps=2, power=1.95), 'maximum'),
        (dict(model='nope'), 'not in the list of choices'),
    ],
)
def test_request_beyond_the_limits_is_refused_in_one_line(client, changes, message):
    with pytest.raises(AppError) as error:
        ask(client, **changes)
    told = str(error.value)
    assert message in told and '\n' not in told and 'Traceback' not in told
    assert ask(client)[0]  # and the server goes on


def test_guidance_is_that_of_the_command_line(client, models):
    own = ConsistencyModelInferencer(models.guidable, device='cpu')
    images = {}
    for scale in (1.0, 2.5):
        path, words = ask(client, model='guidable', guidance=scale)
        expected = pixels(own(4, 3, SEED, num_steps=1, guidance=scale))
        images[scale] = tiles(path, 4, 2, 256).astype(int)
        assert np.abs(images[scale] - expected).max() <= 1
        assert f'{1 if scale == 1 else 2} network evaluation' in words
    assert np.abs(images[1.0] - images[2.5]).max() > 10
    path, _ = ask(client, guidance=2.5)  # of a model without a null class, whose slider is hidden
    assert np.array_equal(tiles(path, 4, 2, 256), tiles(ask(client)[0], 4, 2, 256))


def test_guidance_is_shown_for_the_models_that_can_be_guided(models):
    sliders = {
        name: guidance_slider(ConsistencyModelInferencer(getattr(models, name), device='cpu'))
        for name in ('digits', 'colour', 'guidable')
    }
    assert {name: slider.visible for name, slider in sliders.items()} == dict(digits=False, colour=False, guidable=True)
    assert {slider.value for slider in sliders.values()} == {1.0}
    told = build(
        denoiser=dict(type='KarrasDenoiser', backbone=dict(BACKBONE, num_conditions=1), guided=True, guidance=12)
    )
    slider = guidance_slider(SimpleNamespace(model=told))
    assert (slider.visible, slider.minimum, slider.maximum, slider.value) == (True, 1.0, 12.0, 12.0)


@pytest.mark.parametrize('scale', ['NaN', 'Infinity', '1e999', 'null', 'true', '[1]'])
def test_guidance_that_is_no_number_is_refused(web, scale):
    asked = json.dumps(list({**ASKED, 'model': 'guidable', 'guidance': 12345.5}.values())).replace('12345.5', scale)
    status, told = web.call('sample', asked)
    assert status != 200 or told['success'] is False, told


@pytest.mark.parametrize('power', ['NaN', 'Infinity', '-1e999', '1e5', 'null'])
def test_level_that_is_no_number_is_refused(web, power):
    asked = json.dumps(list({**ASKED, 'steps': 2, 'power': 12345.5}.values())).replace('12345.5', power)
    status, told = web.call('sample', asked)
    assert status != 200 or told['success'] is False, told
    assert web.call('sample', json.dumps(list(ASKED.values())))[1]['success'] is True


def test_what_a_visitor_typed_comes_back_as_text(client):
    with pytest.raises(AppError, match='&lt;img'):
        ask(client, label='<img src=x>')


def test_estimates_of_several_batches_fill_the_sheet(digits):
    estimates = Estimates(digits, 3, num_steps=2)
    white = torch.ones(2, 1, 8, 8)
    grey = [128, 128, 128]
    assert estimates.add(0, -white)[:, 0, 0, 0].tolist() == [0, 0, grey[0]]
    assert estimates.add(1, white)[:, 0, 0, 0].tolist() == [255, 255, grey[0]]
    assert estimates.add(0, -white[:1])[:, 0, 0, 0].tolist() == [255, 255, 0]


def test_level_in_words_is_what_the_page_makes_of_it():
    assert level_in_words(0.28) == 'Noise level of the second step: **1.91**'


def test_live_steps_that_are_not_finite_are_no_black_pictures(digits):
    estimates = Estimates(digits, 2, 3)
    estimates.add(0, torch.zeros(2, 1, 8, 8))
    with pytest.raises(NotFiniteError):
        estimates.add(1, torch.full((2, 1, 8, 8), float('nan')))


def test_flow_map_takes_steps_of_equal_length(client, models):
    path, words = ask(client, model='flow_map', steps=2)
    expected = pixels(ConsistencyModelInferencer(models.flow_map, device='cpu')(4, '3', SEED, num_steps=2))
    assert np.abs(tiles(path, 4, 2, 256).astype(int) - expected).max() <= 1
    assert '2 network evaluations each' in words
