import json
import os
import subprocess
import sys
import threading

import pytest
import torch
from mmengine.config import Config
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mmcm.apis import ConsistencyModelInferencer
from mmcm.apis.convert import config_of
from mmcm.checkpoints import parse_config, resolve_checkpoint
from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.checkpoints.formats.diffusers_folder import read_weights, write_folder
from mmcm.checkpoints.weights import digest, read_backbone
from mmcm.cli.convert import main
from support.diffusers_models import VARIANTS, backbone, empty, model_config, same, weights_of
from support.digits import EDM2, build, objective_config, randomise
from support.digits import model_config as digits_config
from support.hub_server import HubServer

BACKBONE = backbone()
WEIGHTS = weights_of(BACKBONE)


@pytest.fixture
def config(tmp_path):
    return write_config(tmp_path, model_config())


@pytest.fixture
def released(tmp_path):
    """A file as OpenAI released them."""
    torch.save(WEIGHTS, tmp_path / 'released.pt')
    return tmp_path / 'released.pt'


def write_config(folder, model, name='config.py'):
    Config(dict(default_scope='mmcm', model=model)).dump(folder / name)
    return folder / name


def convert(*arguments):
    main([str(argument) for argument in arguments])


def refused(capsys, *arguments):
    """Return the one line that a command ends with."""
    with pytest.raises(SystemExit) as end:
        convert(*arguments)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def content(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*'))


@pytest.mark.parametrize('name', ['as_released_for_imagenet', 'as_released_for_lsun', 'strided_convolutions'])
def test_round_trip_changes_no_bit_nor_the_order(tmp_path, name, capsys):
    ours = backbone(**VARIANTS[name])
    weights = weights_of(ours)
    torch.save(weights, tmp_path / 'a.pt')
    config = write_config(tmp_path, model_config(ours))
    convert(tmp_path / 'a.pt', tmp_path / 'b.safetensors', '--config', config)
    convert(tmp_path / 'b.safetensors', tmp_path / 'c', '--to', 'diffusers')
    convert(tmp_path / 'c', tmp_path / 'd.safetensors', '--to', 'mmcm')
    convert(tmp_path / 'd.safetensors', tmp_path / 'e.pt')
    convert(tmp_path / 'c', tmp_path / 'f.pth')
    for path in (tmp_path / 'e.pt', tmp_path / 'f.pth'):
        assert same(torch.load(path, weights_only=True), weights)
    for path in (tmp_path / 'b.safetensors', tmp_path / 'd.safetensors'):
        read = load_file(path)
        assert same({key: read[key] for key in weights}, weights) and len(read) == len(weights)
    assert same(read_weights(tmp_path / 'c'), weights)
    digests = [line.split()[-1] for line in capsys.readouterr().out.splitlines() if line.startswith('sha256')]
    assert digests == [digest(weights)] * 5


def test_file_carries_the_config_that_draws_from_it(tmp_path, released, config):
    convert(released, tmp_path / 'x.safetensors', '--config', config)
    with safe_open(tmp_path / 'x.safetensors', 'pt') as file:
        assert file.metadata().keys() == {'config', 'format', 'mmcm_version', 'weights_sha256'}
        assert file.metadata()['weights_sha256'] == digest(WEIGHTS)
    assert parse_config(Checkpoint(tmp_path / 'x.safetensors').config_text)['model'] == model_config()

    write_folder(tmp_path / 'folder', model_config(), WEIGHTS)
    convert(tmp_path / 'folder', tmp_path / 'y.safetensors')
    model = empty(parse_config(Checkpoint(tmp_path / 'y.safetensors').config_text)['model'])
    model.load_checkpoint(str(tmp_path / 'y.safetensors'))
    original = empty(model_config())
    original.load_checkpoint(str(released))
    assert torch.equal(model.sample(2, [0, 4]), original.sample(2, [0, 4]))


@pytest.fixture
def work_dir(tmp_path):
    """A work directory with one average beside the trained weights."""
    options = dict(objective=objective_config(), ema_decays=(0.5,))
    model = build(**options)
    randomise(model.emas['0_5'], seed=1)
    folder = tmp_path / 'run'
    folder.mkdir()
    meta = dict(iter=8, cfg=Config(dict(model=digits_config(**options))).pretty_text)
    torch.save(dict(meta=meta, state_dict=model.state_dict()), folder / 'iter_8.pth')
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_8.pth'))
    return folder


@pytest.mark.parametrize('average', ['online', '0.5', None])
def test_work_directory_says_itself_what_it_trained(work_dir, tmp_path, average):
    convert(work_dir, tmp_path / 'x', *(() if average is None else ('--ema', average)))
    assert same(read_weights(tmp_path / 'x'), read_backbone(work_dir / 'iter_8.pth', average))
    scheduler = json.loads((tmp_path / 'x/scheduler/scheduler_config.json').read_text())
    assert scheduler['num_train_timesteps'] == 18


def test_config_of_a_training_run_comes_along(work_dir, tmp_path):
    convert(work_dir, tmp_path / 'x.safetensors')
    assert Checkpoint(tmp_path / 'x.safetensors').config_text == Checkpoint(work_dir / 'iter_8.pth').config_text != ''


def test_name_of_the_zoo_brings_weights_and_config(tmp_path):
    convert('digits', tmp_path / 'x')
    read, shipped = read_weights(tmp_path / 'x'), read_backbone(resolve_checkpoint('digits'))
    assert same(read, {key: shipped[key].float() for key in read}) and len(read) == len(shipped)


def test_id_of_the_hub_brings_weights_and_config(tmp_path):
    pytest.importorskip('huggingface_hub')
    write_folder(tmp_path / 'pipeline', model_config(), WEIGHTS)
    files = {
        str(path.relative_to(tmp_path / 'pipeline')): path.read_bytes()
        for path in (tmp_path / 'pipeline').rglob('*')
        if path.is_file()
    }
    with HubServer() as hub:
        hub.repositories['someone/small'] = files
        threading.Thread(target=hub.serve_forever, kwargs={'poll_interval': 0.01}, daemon=True).start()
        # In a process of its own: the hub's address is read when huggingface_hub is imported.
        environment = {**os.environ, 'HF_ENDPOINT': hub.url, 'HF_HOME': str(tmp_path / 'hf'), 'no_proxy': '127.0.0.1'}
        command = [sys.executable, '-m', 'mmcm', 'convert', 'someone/small', tmp_path / 'x.pt']
        process = subprocess.run(command, env=environment, capture_output=True, text=True)
        hub.shutdown()
    assert process.returncode == 0, process.stderr
    assert same(torch.load(tmp_path / 'x.pt', weights_only=True), WEIGHTS)


def test_address_brings_the_weights(tmp_path, server, released, config, monkeypatch):
    monkeypatch.setenv('MMCM_HOME', str(tmp_path / 'cache'))
    server.content = released.read_bytes()
    convert(server.url, tmp_path / 'x', '--config', config)
    assert same(read_weights(tmp_path / 'x'), WEIGHTS)


def test_download_is_kept_where_that_is_said(tmp_path, server, released, config, monkeypatch):
    monkeypatch.setenv('MMCM_HOME', str(tmp_path / 'cache'))
    server.content = released.read_bytes()
    convert(server.url, tmp_path / 'x.pt', '--config', config, '--cache-dir', tmp_path / 'own')
    (kept,) = (path for path in (tmp_path / 'own' / 'checkpoints').rglob('*.pt'))
    assert kept.read_bytes() == released.read_bytes() and not (tmp_path / 'cache').exists()


@pytest.mark.parametrize('name, num_scales', [('cd_imagenet64_l2', 40), ('ct_imagenet64', 201), ('ct_cat256', 151)])
def test_schedule_is_that_of_the_model_of_the_zoo(name, num_scales):
    assert config_of(Checkpoint('x.pt'), name)[1]['sampler']['num_scales'] == num_scales


@pytest.mark.parametrize('dtype', ['float32', 'float16', 'bfloat16'])
@pytest.mark.parametrize('out', ['x.pt', 'x.safetensors', 'x'])
def test_precision_is_chosen(tmp_path, released, config, dtype, out):
    convert(released, tmp_path / out, '--config', config, '--dtype', dtype)
    expected = {key: value.to(getattr(torch, dtype)) for key, value in WEIGHTS.items()}
    read = read_backbone(tmp_path / out)
    assert same({key: read[key] for key in expected}, expected)


def test_half_precision_becomes_full(tmp_path, config):
    halves = {key: value.half() for key, value in WEIGHTS.items()}
    save_file(halves, tmp_path / 'half.safetensors')
    convert(tmp_path / 'half.safetensors', tmp_path / 'x.pt', '--config', config)
    assert same(torch.load(tmp_path / 'x.pt', weights_only=True), {key: value.float() for key, value in halves.items()})


def test_output_is_replaced_only_by_force(tmp_path, released, config, capsys):
    for out in ('x.pt', 'x.safetensors', 'x'):
        convert(released, tmp_path / out, '--config', config)
        before = content(tmp_path)
        torch.save({key: value + 1 for key, value in WEIGHTS.items()}, tmp_path / 'other.pt')
        message = refused(capsys, tmp_path / 'other.pt', tmp_path / out, '--config', config)
        assert f'{tmp_path / out} ' in message and ': give --force to replace' in message
        (tmp_path / 'other.pt').rename(released)
        assert content(tmp_path) == before
        convert(released, tmp_path / out, '--config', config, '--force')
        assert torch.equal(read_backbone(tmp_path / out)['out.2.bias'], read_backbone(released)['out.2.bias'])
        assert content(tmp_path) == before


def test_folder_of_other_things_is_never_replaced(tmp_path, released, config, capsys):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/letter').touch()
    for arguments in (('--to', 'diffusers'), ()):
        message = refused(capsys, released, tmp_path / 'mine', '--config', config, '--force', *arguments)
        assert 'mine is there already and no such output, so it is not replaced' in message
    assert content(tmp_path / 'mine') == ['letter']


def test_empty_folder_is_as_good_as_none(tmp_path, released, config):
    (tmp_path / 'x').mkdir()
    convert(released, tmp_path / 'x', '--config', config)
    assert same(read_weights(tmp_path / 'x'), WEIGHTS)


def test_folder_converts_into_itself(tmp_path, released, config):
    convert(released, tmp_path / 'x', '--config', config)
    convert(tmp_path / 'x', tmp_path / 'x', '--force')
    assert same(read_weights(tmp_path / 'x'), WEIGHTS)


@pytest.mark.parametrize(
    'out, to, message',
    [
        ('x.bin', [], 'x.bin does not say what to write: end it in .pt (openai) or .safetensors (mmcm), or add --to'),
        ('x.safetensors', ['--to', 'openai'], '--to openai writes a file that ends in .pt or .pth, got'),
        ('x', ['--to', 'mmcm'], '--to mmcm writes a file that ends in .safetensors, got'),
        ('x.pt', ['--to', 'diffusers'], '--to diffusers writes a folder, got'),
        ('released.pt/x.pt', [], 'cannot be made a folder for the results'),
    ],
)
def test_output_that_is_not_clear_is_refused(tmp_path, released, config, capsys, out, to, message):
    assert message in refused(capsys, released, tmp_path / out, '--config', config, *to)
    assert content(tmp_path) == ['config.py', 'released.pt']


def test_folder_with_a_dot_in_its_name_is_written_where_that_is_said(tmp_path, released, config):
    convert(released, tmp_path / 'v1.2', '--config', config, '--to', 'diffusers')
    assert same(read_weights(tmp_path / 'v1.2'), WEIGHTS)


@pytest.mark.parametrize(
    'changes, message',
    [
        (None, 'released.pt does not say what network the weights are of (model.denoiser.backbone): give its config'),
        (model_config(backbone(base_channels=64)), 'released.pt is not a checkpoint of this ADMUNet: '),
        (model_config(backbone(num_classes=None)), '1 keys are not expected: label_emb.weight'),
        (model_config(boundary=False), "models of type 'KarrasDenoiser', not from a diffusion model (boundary=False)"),
        (dict(model_config(), sampler=dict(type='HeunSampler', num_steps=18)), "got sampler 'HeunSampler'"),
        (dict(type='DigitsClassifier'), 'config.py does not say what network the weights are of'),
    ],
)
def test_config_that_does_not_fit_is_refused_and_nothing_written(tmp_path, released, capsys, changes, message):
    config = () if changes is None else ('--config', write_config(tmp_path, changes))
    before = content(tmp_path)
    assert message in refused(capsys, released, tmp_path / 'x', *config)
    assert content(tmp_path) == before


def test_diffusion_model_is_no_pipeline_but_a_file(tmp_path, released):
    convert(released, tmp_path / 'x.safetensors', '--config', write_config(tmp_path, model_config(boundary=False)))
    assert parse_config(Checkpoint(tmp_path / 'x.safetensors').config_text)['model']['denoiser']['boundary'] is False


@pytest.mark.parametrize(
    'source, message', [('missing.pt', "no checkpoint 'missing.pt'"), ('cd_imagenet64_l1', 'nearest: cd_imagenet64_l2')]
)
def test_source_that_is_not_there_is_refused(tmp_path, capsys, source, message):
    assert message in refused(capsys, source, tmp_path / 'x')


def test_average_of_a_released_file_is_refused(tmp_path, released, config, capsys):
    message = refused(capsys, released, tmp_path / 'x', '--config', config, '--ema', '0.999')
    assert "one set of weights and no averages: leave out the choice of '0.999'" in message


def test_errors_in_arguments_and_help_do_not_load_torch(tmp_path):
    for arguments, expected in ((['--help'], 'examples:\n  mmcm convert '), (['a', 'b.c'], 'error: b.c does not say')):
        code = f"""
import sys
from mmcm.cli.main import main
try:
    main(['convert', *{arguments!r}])
except SystemExit:
    print("torch" in sys.modules)
"""
        process = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=tmp_path)
        assert expected in process.stdout + process.stderr
        assert process.stdout.splitlines()[-1] == 'False'


def test_released_weights_bring_their_schedule_to_any_config():
    for given in (None, 'ct_imagenet64', 'consistency_models_8xb256-imagenet1k-onestep-64x64'):
        text, model = config_of(Checkpoint('ct_imagenet64'), given)
        assert model['sampler']['num_scales'] == 201 and 'num_scales=201' in text


@pytest.mark.parametrize('out', ['half.safetensors', 'half.pt', 'half'])
def test_weights_too_large_for_a_precision_are_refused(tmp_path, config, out, capsys):
    key = next(iter(WEIGHTS))
    torch.save({**WEIGHTS, key: WEIGHTS[key].clone().fill_(1e5)}, tmp_path / 'large.pt')
    arguments = [tmp_path / 'large.pt', tmp_path / out, '--config', config]
    to = ['--to', 'diffusers'] if out == 'half' else []
    with pytest.raises(SystemExit):
        convert(*arguments, *to, '--dtype', 'float16')
    assert f'1 of {len(WEIGHTS)} weights are not finite in float16, whose numbers end at' in capsys.readouterr().err
    assert not (tmp_path / out).exists()
    convert(*arguments, *to, '--dtype', 'bfloat16')
    assert (tmp_path / out).exists()


@pytest.mark.parametrize('out', ['x.pt', 'x'])
def test_null_class_stays_with_mmcm(tmp_path, out):
    """Other programs have no such class: their file is that of the classes alone."""
    network = backbone(null_class=True)
    config = write_config(tmp_path, model_config(network))
    weights = {**WEIGHTS, 'label_emb.weight': torch.cat([WEIGHTS['label_emb.weight'], torch.ones(1, 128)])}
    torch.save(weights, tmp_path / 'null.pt')
    convert(tmp_path / 'null.pt', tmp_path / out, '--config', config)
    assert same(read_weights(tmp_path / out) if out == 'x' else read_backbone(tmp_path / out), WEIGHTS)
    convert(tmp_path / 'null.pt', tmp_path / 'x.safetensors', '--config', config)
    assert same(load_file(tmp_path / 'x.safetensors'), weights)


@pytest.mark.parametrize('out', ['x.pt', 'x'])
def test_network_of_two_stages_is_converted_to_mmcm_alone(tmp_path, capsys, out):
    single = weights_of(backbone())
    weights = {
        f'{stage}.{key}': value + (stage == 'lower') for stage in ('upper', 'lower') for key, value in single.items()
    }
    torch.save(weights, tmp_path / 'both.pt')
    denoiser = dict(type='TruncatedDenoiser', backbone=backbone())
    config = write_config(tmp_path, dict(model_config(), denoiser=denoiser))
    assert 'two networks' in refused(capsys, tmp_path / 'both.pt', tmp_path / out, '--config', config)
    assert not (tmp_path / out).exists()
    convert(tmp_path / 'both.pt', tmp_path / 'x.safetensors', '--config', config)
    assert same(load_file(tmp_path / 'x.safetensors'), weights)


@pytest.mark.parametrize(
    'out, message', [('x.pt', "OpenAI's network takes one time"), ('x', 'not from a FlowMapDenoiser')]
)
def test_flow_map_is_converted_to_mmcm_alone(tmp_path, capsys, out, message):
    network = backbone(num_conditions=1)
    weights = weights_of(network)
    torch.save(weights, tmp_path / 'map.pt')
    config = write_config(tmp_path, dict(model_config(), denoiser=dict(type='FlowMapDenoiser', backbone=network)))
    assert message in refused(capsys, tmp_path / 'map.pt', tmp_path / out, '--config', config)
    assert not (tmp_path / out).exists()
    convert(tmp_path / 'map.pt', tmp_path / 'x.safetensors', '--config', config)
    assert same(load_file(tmp_path / 'x.safetensors'), weights)


@pytest.mark.parametrize(
    'out, message',
    [
        ('x.pt', "OpenAI's program has no magnitude-preserving layers"),
        ('x', 'diffusers has no counterpart of the backbone EDM2UNet'),
    ],
)
def test_network_of_edm2_is_converted_to_mmcm_alone(tmp_path, capsys, out, message):
    weights = build(denoiser=EDM2).denoiser.backbone.state_dict()
    torch.save(weights, tmp_path / 'edm2.pt')
    config = write_config(tmp_path, digits_config(denoiser=EDM2, sampler=dict(type='HeunSampler', num_steps=2)))
    assert message in refused(capsys, tmp_path / 'edm2.pt', tmp_path / out, '--config', config)
    assert not (tmp_path / out).exists()
    convert(tmp_path / 'edm2.pt', tmp_path / 'x.safetensors', '--config', config)
    assert same(load_file(tmp_path / 'x.safetensors'), weights)
    inferencer = ConsistencyModelInferencer(str(tmp_path / 'x.safetensors'), device='cpu')
    expected = build(denoiser=EDM2, sampler=dict(type='HeunSampler', num_steps=2)).sample(2, [3, 4])
    images = inferencer(labels=[3, 4], output_type='pt').images
    torch.testing.assert_close(images, (expected / 2 + 0.5).clamp(0, 1), rtol=0, atol=1e-5)
