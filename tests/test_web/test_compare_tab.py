import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip('gradio')

from gradio_client.exceptions import AppError

from mmcm.apis import ConsistencyModelInferencer
from mmcm.web.compare_tab import first_model, partner
from mmcm.web.model_pool import ModelPool
from support.web_grids import pixels, tiles

SEED = 5


def ask(client, models, **changes):
    asked = dict(few='digits', many='diffusion', label='3', count=4, seed=SEED, steps=4)
    return client.predict(*{**asked, **changes}.values(), api_name='/compare')


def test_three_ways_draw_the_same_seeds_and_classes(client, models):
    one, one_words, two, two_words, many, many_words = ask(client, models)
    digits = ConsistencyModelInferencer('digits', device='cpu')
    diffusion = ConsistencyModelInferencer(models.diffusion, device='cpu')
    drawings = [digits(4, 3, SEED, num_steps=1), digits(4, 3, SEED, num_steps=2), diffusion(4, 3, SEED, num_steps=4)]
    for path, drawing in zip((one, two, many), drawings):
        assert np.abs(tiles(path, 4, 4, 64).astype(int) - pixels(drawing)).max() <= 1
    costs = ['1 network evaluation each', '2 network evaluations each', '7 network evaluations each']  # Heun: 2 n - 1
    for words, expected in zip((one_words, two_words, many_words), costs):
        assert f', {expected}' in words and 'per image' in words


@pytest.mark.parametrize(
    'changes',
    [
        dict(count=0),
        dict(count=31),
        dict(steps=0),
        dict(steps=101),
        dict(seed=-1),
        dict(label='x'),
        dict(few='nope'),
        dict(many='digits'),
        dict(many=None),
        dict(label='10'),
    ],
)
def test_comparison_beyond_the_limits_is_refused(client, models, changes):
    with pytest.raises(AppError) as error:
        ask(client, models, **changes)
    assert '\n' not in str(error.value)


def test_partner_is_the_diffusion_model_of_the_same_pictures(models):
    pool = ModelPool(['digits', models.colour, models.diffusion], 'cpu')
    assert partner(pool, 'digits') == 'diffusion'
    assert partner(pool, 'colour') == 'diffusion'  # of others, where there is no better one
    assert partner(ModelPool(['digits'], 'cpu'), 'digits') is None


def test_first_comparison_is_of_models_of_the_same_images():
    assert first_model(ModelPool(['mnist', 'digits', 'edm_digits'], 'cpu')) == 'digits'
    assert first_model(ModelPool(['mnist', 'digits'], 'cpu')) == 'mnist'


def test_missing_kind_of_model_is_told(models):
    """In a process of its own, since Gradio leaves an event loop open."""
    code = (
        'import sys, gradio\nfrom mmcm.web.app import build_app\nfrom mmcm.web.limits import Limits\n'
        'from mmcm.web.opening import Opening\nfrom mmcm.web.model_pool import ModelPool\nfor name in sys.argv[1:]:\n'
        '    pool = ModelPool([name], "cpu")\n    app = build_app(pool, Limits(), Opening(pool))\n'
        '    print([block.value for block in app.blocks.values() if isinstance(block, gradio.Markdown)])'
    )
    process = subprocess.run(
        [sys.executable, '-c', code, models.digits, models.diffusion], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    consistency_alone, diffusion_alone = process.stdout.splitlines()
    assert 'no diffusion model' in consistency_alone and 'no consistency model' in diffusion_alone
