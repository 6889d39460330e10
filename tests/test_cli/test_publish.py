import hashlib

import pytest
import torch
from mmengine.config import Config
from safetensors import safe_open
from safetensors.torch import load_file

from mmcm.checkpoints.weights import chosen_weights, digest, read_backbone, read_checkpoint
from mmcm.cli.publish import main
from mmcm.version import __version__
from support.digits import build, model_config, objective_config, randomise


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A training checkpoint with two averages, each other weights."""
    options = dict(objective=objective_config(), ema_decays=(0.999, 0.9999))
    model = build(**options)
    for seed, average in enumerate(model.emas.values(), start=1):
        randomise(average, seed)
    config = Config(dict(model=model_config(**options), optim_wrapper=dict(type='OptimWrapper', accumulative_counts=2)))
    path = tmp_path_factory.mktemp('checkpoint') / 'iter_8.pth'
    torch.save(dict(meta=dict(iter=8, cfg=config.pretty_text), state_dict=model.state_dict()), path)
    return path


def published(checkpoint, out, *arguments):
    """Return the weights and the metadata of the published file."""
    main([str(checkpoint), str(out), *arguments])
    with safe_open(out, framework='pt') as file:
        return load_file(out), file.metadata()


def test_metadata_says_where_the_weights_come_from(checkpoint, tmp_path):
    weights, metadata = published(checkpoint, tmp_path / 'model.safetensors')
    assert metadata['weights_sha256'] == digest(weights) == digest(read_backbone(checkpoint, '0.999'))
    told = {key: metadata[key] for key in ('iteration', 'step', 'method', 'average', 'mmcm_version')}
    assert told == dict(
        iteration='8', step='4', method='ConsistencyTraining', average='0.999', mmcm_version=__version__
    )
    assert 'KarrasDenoiser' in metadata['config']


@pytest.mark.parametrize('average', ['0.999', '0.9999', 'online'])
def test_chosen_average_is_published(checkpoint, tmp_path, average):
    weights, metadata = published(checkpoint, tmp_path / 'model.safetensors', '--ema', average)
    expected = read_checkpoint(checkpoint)['state_dict']
    prefix = 'denoiser' if average == 'online' else f'emas.{average.replace(".", "_")}'
    assert metadata['average'] == average
    assert all(torch.equal(value, expected[f'{prefix}.backbone.{key}']) for key, value in weights.items())
    assert len(weights) == sum(key.startswith('denoiser.') for key in expected)


def test_same_checkpoint_makes_the_same_file(checkpoint, tmp_path, capsys):
    files = [tmp_path / name for name in ('a.safetensors', 'b.safetensors')]
    for file in files:
        published(checkpoint, file)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert hashlib.sha256(files[0].read_bytes()).hexdigest() in capsys.readouterr().out


def test_published_file_may_be_published_in_another_precision(checkpoint, tmp_path):
    weights, _ = published(checkpoint, tmp_path / 'full.safetensors')
    halves, metadata = published(tmp_path / 'full.safetensors', tmp_path / 'half.safetensors', '--dtype', 'bfloat16')
    assert metadata['weights_sha256'] == digest(halves) != digest(weights)
    assert metadata['average'] == metadata['step'] == ''
    assert metadata['method'] == 'ConsistencyTraining'  # the config goes along


def test_digest_depends_on_names_shapes_dtypes_and_values_alone():
    weights = dict(a=torch.arange(6.0).view(2, 3), b=torch.tensor(1.0))
    same = dict(b=torch.tensor(1.0), a=torch.arange(6.0).view(3, 2).t().contiguous().t().reshape(2, 3))
    assert digest(weights) == digest(same)
    for change in (dict(a=weights['a'].view(3, 2)), dict(b=torch.tensor(2.0)), dict(b=torch.tensor(1.0).half())):
        assert digest({**weights, **change}) != digest(weights)
    assert digest(dict(c=weights['a'], b=weights['b'])) != digest(weights)


def test_average_of_weights_alone_has_no_name():
    assert chosen_weights({'out.2.bias': torch.zeros(1)}, 'x.pt')[1] is None
    trained = dict(state_dict={'denoiser.backbone.out.2.bias': torch.zeros(1)})
    assert chosen_weights(trained, 'x.pt')[1] == 'online'


def test_weights_too_large_for_a_precision_are_refused(tmp_path, capsys):
    model = build()
    with torch.no_grad():
        model.denoiser.backbone.out[2].bias.fill_(1e5)
    torch.save(
        dict(meta=dict(cfg=Config(dict(model=model_config())).pretty_text), state_dict=model.state_dict()),
        tmp_path / 'iter_1.pth',
    )
    with pytest.raises(SystemExit):
        main([str(tmp_path / 'iter_1.pth'), str(tmp_path / 'x.safetensors'), '--dtype', 'float16'])
    assert 'out.2.bias. Write another precision' in capsys.readouterr().err
    assert not (tmp_path / 'x.safetensors').exists()
