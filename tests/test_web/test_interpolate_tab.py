import numpy as np
import pytest
from PIL import Image

pytest.importorskip('gradio')

from gradio_client.exceptions import AppError

from mmcm.apis import ConsistencyModelInferencer
from mmcm.apis.sampling.interpolation import interpolate
from mmcm.web.interpolate_tab import end_labels
from support.web_grids import pixels, tiles

ASKED = dict(model='digits', first_seed=4, last_seed=7, first_label='3', last_label='8', count=5, steps=1)


def ask(client, **changes):
    return client.predict(*{**ASKED, **changes}.values(), api_name='/interpolate')


def test_strip_leads_from_the_first_to_the_last(client):
    path, words = ask(client)
    digits = ConsistencyModelInferencer('digits', device='cpu')
    strip = tiles(path, 5, 5, 144, captions=False)
    assert np.abs(strip.astype(int) - pixels(interpolate(digits, (4, 7), (3, 8), 5))).max() <= 1
    assert np.abs(strip[0].astype(int) - pixels(digits(labels=3, seed=[4]))[0]).max() <= 1  # what its seed draws
    assert ', 1 network evaluation each' in words


def test_models_without_classes_interpolate_too(client, models):
    path, _ = ask(client, model='colour', steps=2)
    colour = ConsistencyModelInferencer(models.colour, device='cpu')
    expected = pixels(interpolate(colour, (4, 7), None, 5))  # by its own two steps
    assert np.abs(tiles(path, 5, 5, 144, captions=False).astype(int) - expected).max() <= 1


def test_ends_are_classes_that_the_model_has(models):
    ends = {name: end_labels(ConsistencyModelInferencer(getattr(models, name), device='cpu')) for name in vars(models)}
    assert ends['digits'] == ends['named'] == ['3', '8']
    assert ends['slow'] == ['0', '2'] and ends['colour'] == ['0', '0']


@pytest.mark.parametrize(
    'changes',
    [
        dict(count=1),
        dict(count=31),
        dict(first_seed=-1),
        dict(last_seed=None),
        dict(first_label='x'),
        dict(last_label='balanced'),
        dict(last_label='10'),
        dict(steps=0),
        dict(steps=99),
        dict(model='nope'),
    ],
)
def test_strip_beyond_the_limits_is_refused(client, changes):
    with pytest.raises(AppError) as error:
        ask(client, **changes)
    assert '\n' not in str(error.value)


def test_images_of_other_proportions_are_interpolated(client, models):
    path, _ = ask(client, model='wide', steps=2)
    wide = ConsistencyModelInferencer(models.wide, device='cpu')
    strip, expected = np.asarray(Image.open(path)), pixels(interpolate(wide, (4, 7), None, 5))  # by its own two steps
    height = strip.shape[0] - 8
    tile = strip[4 : 4 + height, 4 : 4 + height * 12 // 8].astype(int)
    step = height // 8
    assert strip.shape[1] == 4 + 5 * (12 * step + 4)
    assert np.abs(tile - expected[0].repeat(step, 0).repeat(step, 1)).max() <= 1
