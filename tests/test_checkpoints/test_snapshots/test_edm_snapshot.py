import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmcm.apis import ConsistencyModelInferencer
from mmcm.apis.convert import convert
from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.checkpoints.snapshots.edm_snapshot import edm_config
from mmcm.checkpoints.snapshots.persistent_pickle import PersistentObject
from mmcm.cli.convert import main as convert_command
from mmcm.denoisers import load_denoiser
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from support.hostile_snapshots import SNAPSHOT, dict_of, legacy_storage, number, persistent, snapshot, tensor
from support.parity import Fixture


def denoiser_of(checkpoint):
    """Return the denoiser that a checkpoint describes, with its weights."""
    denoiser = MODELS.build(checkpoint.config['model']['denoiser']).eval()
    load_denoiser(denoiser, checkpoint)
    return denoiser


def output(denoiser):
    """Return what a denoiser makes of the measured input, and what the reference's network does."""
    fixture = Fixture('edm_snapshot_tiny')
    labels = fixture('labels_onehot').argmax(dim=1)
    with torch.no_grad():
        return denoiser(fixture('x'), fixture('sigma'), labels), fixture('output')


def test_snapshot_is_the_network_of_the_reference():
    found, expected = output(denoiser_of(Checkpoint(SNAPSHOT)))
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-5)


def test_config_is_that_of_the_arguments_in_the_file():
    config = Checkpoint(SNAPSHOT).config
    denoiser = config['model']['denoiser']
    assert denoiser['c_noise'] == 'log(sigma) / 4' and denoiser['boundary'] is False
    assert denoiser['backbone'] == dict(
        type='SongUNet',
        image_size=8,
        base_channels=4,
        num_res_blocks=1,
        attention_resolutions=(4,),
        channel_mult=(1, 2),
        in_channels=3,
        out_channels=3,
        num_classes=5,
        dropout=0.13,
        augment_dim=9,
        null_class=False,
        embedding='positional',
        encoder='standard',
        noise_mult=1,
        resample_filter=(1, 1),
    )
    assert config['model']['sampler'] == dict(type='HeunSampler', num_steps=18)
    assert Config.fromstring(Checkpoint(SNAPSHOT).config_text, '.py').model.denoiser.backbone.type == 'SongUNet'


def test_arguments_that_are_not_given_have_the_defaults_of_the_program(tmp_path):
    for name, changes in (('SongUNet', {}), ('DhariwalUNet', dict(label_dropout=number(1)))):
        given = dict_of(img_resolution=number(64), label_dim=number(1000), **changes)
        unet = persistent(name, _init_args=b')', _init_kwargs=given)
        (tmp_path / 'x.pkl').write_bytes(snapshot(b'N', _modules=dict_of(model=unet)))
        with pytest.raises(InputError, match='would have more than [0-9,]+ weights, and the file holds 0'):
            _ = Checkpoint(tmp_path / 'x.pkl').config


def test_weights_are_read_once(monkeypatch):
    checkpoint = Checkpoint(SNAPSHOT)
    assert checkpoint.config and checkpoint.num_weights
    monkeypatch.setattr('mmcm.checkpoints.checkpoint.read_snapshot', None)
    monkeypatch.setattr('mmcm.checkpoints.checkpoint.read_checkpoint', None)
    assert output(denoiser_of(checkpoint))[0].isfinite().all()


def test_converted_file_samples_the_same_bytes(tmp_path):
    sha = convert(SNAPSHOT, tmp_path / 'x.safetensors', 'mmcm')
    assert sha == convert(tmp_path / 'x.safetensors', tmp_path / 'y.safetensors', 'mmcm')
    images = [
        ConsistencyModelInferencer(path, device='cpu')(2, seed=1).images
        for path in (SNAPSHOT, tmp_path / 'x.safetensors')
    ]
    assert all(np.array_equal(a, b) for a, b in zip(*images))


@pytest.mark.parametrize(
    'out, reason', [('folder', 'no counterpart'), ('x.pt', "OpenAI's program has no network like")]
)
def test_conversion_to_other_programs_is_refused_with_a_reason(tmp_path, capsys, out, reason):
    with pytest.raises(SystemExit):
        convert_command([str(SNAPSHOT), str(tmp_path / out), *(['--to', 'diffusers'] if out == 'folder' else [])])
    error = capsys.readouterr().err
    assert reason in error and 'SongUNet' in error and error.count('\n') == 1
    assert not any(tmp_path.iterdir())


def test_snapshot_is_a_start_and_a_teacher():
    denoiser = Checkpoint(SNAPSHOT).config['model']['denoiser']
    for changes in (
        dict(init_from=str(SNAPSHOT)),
        dict(init_from='teacher', teacher=dict(denoiser=denoiser, checkpoint=str(SNAPSHOT))),
    ):
        objective = dict(
            type='ConsistencyDistillation' if 'teacher' in changes else 'ConsistencyTraining',
            curriculum=dict(type='FixedCurriculum', num_scales=18, target_decay=0.95),
            distance=dict(type='L2'),
        )
        model = MODELS.build(
            dict(type='ConsistencyModel', denoiser=dict(denoiser, boundary=True), objective=objective, **changes)
        )
        model.init_weights()
        weights = Checkpoint(SNAPSHOT).content['ema']
        assert all(
            torch.equal(value, weights[f'model.{key}']) for key, value in model.denoiser.backbone.state_dict().items()
        )


def test_kind_of_denoiser_is_compared_with_the_config(tmp_path):
    denoiser = Checkpoint(SNAPSHOT).config['model']['denoiser']
    other = MODELS.build(dict(denoiser, c_noise='250 log sigma'))
    with pytest.raises(InputError, match='c_noise'):
        load_denoiser(other, SNAPSHOT)


@pytest.mark.parametrize('name', ['label_dim', 'label_dropout', 'channel_mult_emb', 'img_resolution'])
def test_tensors_as_arguments_of_a_network_are_refused(tmp_path, name):
    values = tensor(legacy_storage(torch.zeros(2)), (2,), (1,))
    given = {'img_resolution': number(64), 'label_dim': number(0), name: values}
    unet = persistent('SongUNet', _init_args=b')', _init_kwargs=dict_of(**given))
    (tmp_path / 'x.pkl').write_bytes(snapshot(b'N', _modules=dict_of(model=unet)))
    with pytest.raises(InputError, match='neither a number nor a text'):
        _ = Checkpoint(tmp_path / 'x.pkl').config


def test_values_that_many_names_share_are_bounded(tmp_path):
    values = torch.zeros(2**20)
    shared = tensor(legacy_storage(values), (2**20,), (1,)) + b'q\x01'  # kept in the memo, under the number 1
    names = {f'w{index}': b'h\x01' for index in range(9)}
    (tmp_path / 'x.pkl').write_bytes(snapshot(b'N', _parameters=dict_of(first=shared, **names)))
    with pytest.raises(InputError, match='its names stand for 10,485,760 values, and the file holds 1,048,576'):
        _ = Checkpoint(tmp_path / 'x.pkl').config


def test_settings_of_a_large_network_of_imagenet():
    unet = PersistentObject('DhariwalUNet', dict(_init_kwargs=dict(img_resolution=64, label_dim=1000)))
    config = edm_config(PersistentObject('EDMPrecond', dict(_modules=dict(model=unet), sigma_data=0.25)))
    assert config['class_names'] == 'imagenet1k' and config['model']['sampler']['num_steps'] == 40
    assert config['model']['denoiser']['sigma_data'] == 0.25
    backbone = config['model']['denoiser']['backbone']
    assert (backbone['base_channels'], backbone['num_res_blocks'], backbone['dropout']) == (192, 3, 0.1)
    assert backbone['channel_mult'] == (1, 2, 3, 4) and backbone['attention_resolutions'] == (32, 16, 8)


@pytest.mark.parametrize('change', [dict(channel_mult_emb=2), dict(decoder_type='skip'), dict(wavelets=True)])
def test_settings_without_a_counterpart_are_named(change):
    unet = PersistentObject('SongUNet', dict(_init_kwargs=dict(img_resolution=8, label_dim=0, **change)))
    with pytest.raises(InputError, match=f'made with .*{next(iter(change))}.* no counterpart'):
        edm_config(PersistentObject('EDMPrecond', dict(_modules=dict(model=unet))))
