from pathlib import Path

import pytest

pytest.importorskip('gradio')

from mmcm.utils.errors import InputError
from mmcm.web.model_pool import ModelPool, shipped_models, shown_names
from mmcm.zoo import find


def test_models_whose_weights_come_with_the_package_are_the_default():
    names = ModelPool().names
    assert names == shipped_models() and 'digits' in names
    assert all(find(name).weights.startswith('package:') for name in names)


def test_model_is_built_once_and_read_when_it_draws():
    pool = ModelPool(['digits', 'digits'], 'cpu')
    assert pool.names == ['digits']
    inferencer = pool.get('digits')
    assert pool.get('digits') is inferencer and not inferencer.loaded
    assert pool.warm_up('digits', 3) is inferencer and inferencer.loaded


def test_network_is_warmed_up_once_for_each_number_of_pictures(monkeypatch):
    pool = ModelPool(['digits'], 'cpu')
    drawn = []
    model = pool.get('digits').load().model
    draw = model.generate
    monkeypatch.setattr(model, 'generate', lambda num, *args: drawn.append(num) or draw(num, *args))
    for number in (3, 3, 5, 3):
        pool.warm_up('digits', number)
    assert drawn == [3, 5]


def test_kinds_of_models_are_told_by_their_samplers(models):
    pool = ModelPool([models.colour, models.diffusion, models.flow_map, 'digits'], 'cpu')
    assert pool.consistency_models() == ['colour', 'flow_map', 'digits']
    assert pool.diffusion_models() == ['diffusion']


def test_what_is_not_there_is_told(tmp_path, models):
    with pytest.raises(InputError, match="no model 'digit' here, nearest: digits; there are digits"):
        ModelPool(['digits'], 'cpu').get('digit')
    with pytest.raises(InputError, match='no config'):
        ModelPool(['digitz'], 'cpu').check()
    with pytest.raises(InputError, match='no device'):
        ModelPool(['digits'], 'abacus').check()
    config = tmp_path / 'missing.py'
    text = Path(models.colour).read_text().replace('colour.pt', 'nowhere.pt')
    config.write_text(text)
    with pytest.raises(InputError, match='nowhere.pt'):
        ModelPool([str(config)], 'cpu').check()


def test_names_that_visitors_see_say_nothing_of_the_disk(tmp_path, monkeypatch):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'own.py').touch()
    monkeypatch.chdir(tmp_path)
    given = [
        'digits',
        str(tmp_path / 'run'),
        'run/',
        './own.py',
        '/nowhere/model.v2.safetensors',
        'me/model',
        'https://there/a/model.safetensors?token=secret',
        'run',
    ]
    assert shown_names(given) == ['digits', 'run', 'run (2)', 'own', 'model.v2', 'me/model', 'model', 'run (3)']


def test_checkpoint_is_for_one_model(models):
    weights = str(Path(models.named).with_suffix('.pt'))
    pool = ModelPool([models.named], 'cpu', checkpoint=weights)
    assert pool.get('named').checkpoint == weights
    for names in ([], ['digits', models.named]):
        with pytest.raises(InputError, match='checkpoint is for one model'):
            ModelPool(names, 'cpu', checkpoint=weights)
