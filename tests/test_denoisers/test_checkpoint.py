"""Weights whose names and shapes fit are refused where they are of another kind of denoiser, or broken."""

import pytest
import torch
from mmengine.config import Config

from mmcm.checkpoints.formats.diffusers_folder import write_folder
from mmcm.checkpoints.write import write_safetensors
from mmcm.denoisers import FlowMapDenoiser, KarrasDenoiser, TrigFlowDenoiser, load_denoiser
from mmcm.denoisers.checkpoint import settings_of
from mmcm.models import ConsistencyModel
from mmcm.utils.errors import InputError
from support.digits import BACKBONE, build, model_config, objective_config

DIFFUSION = dict(type='KarrasDenoiser', boundary=False)
CONSISTENCY = dict(type='KarrasDenoiser')
CONTINUOUS = dict(type='TrigFlowDenoiser', time_scale=1.0)
QUARTER = 'log(sigma) / 4'
TRIGONOMETRIC = dict(type='TrigFlowDenoiser')  # without a time scale, it computes what EDM's does


def denoiser(type, **settings):
    return dict(KarrasDenoiser=KarrasDenoiser, TrigFlowDenoiser=TrigFlowDenoiser)[type](BACKBONE, **settings)


@pytest.fixture
def weights():
    return build(seed=3).denoiser.backbone.state_dict()


def write(path, weights, kind):
    """Write a file of weights that says what kind of denoiser it is of, as training and `mmcm convert` do."""
    config = Config(dict(model=dict(type='ConsistencyModel', denoiser=dict(kind, backbone=BACKBONE)))).pretty_text
    if path.suffix == '.safetensors':
        write_safetensors(path, weights, dict(config=config))
    else:
        trained = {f'denoiser.backbone.{key}': value for key, value in weights.items()}
        torch.save(dict(meta=dict(cfg=config), state_dict=trained), path)
    return path


@pytest.mark.parametrize('name', ['x.safetensors', 'x.SAFETENSORS', 'x', 'x.pth', 'x.ckpt'])
@pytest.mark.parametrize(
    'theirs, ours, key',
    [
        (CONSISTENCY, DIFFUSION, 'boundary=True, and the config has False'),
        (DIFFUSION, CONSISTENCY, 'boundary=False, and the config has True'),
        (CONTINUOUS, CONSISTENCY, "type='TrigFlowDenoiser', and the config has 'KarrasDenoiser'"),
        (CONTINUOUS, TRIGONOMETRIC, 'time_scale=1.0, and the config has None'),
        (dict(DIFFUSION, sigma_data=0.25), DIFFUSION, 'sigma_data=0.25, and the config has 0.5'),
        (
            dict(DIFFUSION, c_noise=QUARTER),
            DIFFUSION,
            r"c_noise='log\(sigma\) / 4', and the config has '250 log sigma'",
        ),
    ],
)
def test_other_kind_of_denoiser_is_refused(tmp_path, weights, theirs, ours, key, name):
    path = tmp_path / name
    if name in ('x.SAFETENSORS', 'x'):
        write(tmp_path / 'y.safetensors', weights, theirs).rename(path)
    else:
        write(path, weights, theirs)
    with pytest.raises(InputError, match=f'was trained with model.denoiser.{key}: choose the config'):
        load_denoiser(denoiser(**ours), path)
    load_denoiser(denoiser(**ours), path, any_kind=True)


@pytest.mark.parametrize(
    'theirs, ours',
    [
        (CONSISTENCY, CONSISTENCY),
        (DIFFUSION, DIFFUSION),
        (DIFFUSION, TRIGONOMETRIC),
        (TRIGONOMETRIC, DIFFUSION),
        (dict(type='mmcm.KarrasDenoiser', boundary=True), CONSISTENCY),
        (CONTINUOUS, CONTINUOUS),
        (dict(CONTINUOUS, c_noise=QUARTER), CONTINUOUS),
        (dict(DIFFUSION, c_noise=QUARTER), dict(TRIGONOMETRIC, c_noise=QUARTER)),
        (dict(DIFFUSION, c_noise='250 log sigma'), DIFFUSION),
    ],
)
def test_same_kind_of_denoiser_is_loaded(tmp_path, weights, theirs, ours):
    module = denoiser(**ours)
    load_denoiser(module, write(tmp_path / 'x.safetensors', weights, theirs))
    assert all(torch.equal(value, weights[key]) for key, value in module.backbone.state_dict().items())


def test_folder_of_diffusers_is_a_consistency_model(tmp_path, weights):
    write_folder(tmp_path / 'pipeline', model_config(), weights)
    load_denoiser(denoiser(**CONSISTENCY), tmp_path / 'pipeline')
    with pytest.raises(InputError, match='boundary=True, and the config has False'):
        load_denoiser(denoiser(**DIFFUSION), tmp_path / 'pipeline')
    load_denoiser(denoiser(**DIFFUSION), tmp_path / 'pipeline' / 'unet')  # a network alone does not say it


def test_name_of_the_zoo_says_the_kind():
    from mmcm.config import read_config
    from mmcm.registry import MODELS

    settings = read_config('edm_1xb32_digits-8x8').model.denoiser
    with pytest.raises(InputError, match='boundary=True, and the config has False'):
        load_denoiser(MODELS.build(settings), 'digits')


def test_consistency_model_is_no_teacher(tmp_path, weights):
    path = write(tmp_path / 'x.safetensors', weights, CONSISTENCY)
    config = model_config(
        objective=dict(objective_config(), type='ConsistencyDistillation'), teacher=dict(checkpoint=str(path))
    )
    config.pop('type', None)
    with pytest.raises(InputError, match='the teacher cannot be read .*boundary=True, and the config has False'):
        ConsistencyModel(**config).init_weights()


def test_training_may_start_from_another_kind(tmp_path, weights):
    model = build(init_from=str(write(tmp_path / 'x.safetensors', weights, DIFFUSION)))
    model.init_weights()
    assert all(torch.equal(value, weights[key]) for key, value in model.denoiser.backbone.state_dict().items())


def test_unreadable_config_in_a_file_says_nothing(tmp_path, weights):
    write_safetensors(tmp_path / 'x.safetensors', weights, dict(config='model = open("x")'))
    load_denoiser(denoiser(**CONSISTENCY), tmp_path / 'x.safetensors')


@pytest.mark.parametrize('any_kind', [False, True])
def test_weights_that_are_not_finite_are_refused(tmp_path, weights, any_kind):
    weights['out.2.bias'] = torch.full_like(weights['out.2.bias'], float('inf'))
    with pytest.raises(InputError, match='NaN or infinite values in 1 of its .*: out.2.bias'):
        load_denoiser(
            denoiser(**CONSISTENCY), write(tmp_path / 'x.safetensors', weights, CONSISTENCY), any_kind=any_kind
        )


def test_average_that_is_not_finite_is_named(tmp_path, weights):
    broken = dict(weights, **{'out.2.bias': torch.full_like(weights['out.2.bias'], float('nan'))})
    content = {
        f'{part}.backbone.{key}': value
        for part, values in (('denoiser', weights), ('emas.0_9', broken))
        for key, value in values.items()
    }
    torch.save(dict(state_dict=content), tmp_path / 'x.pth')
    with pytest.raises(InputError, match=r'x.pth \(0.9\) has NaN or infinite values in 1 of .* out.2.bias .*--ema'):
        load_denoiser(denoiser(**CONSISTENCY), tmp_path / 'x.pth')
    load_denoiser(denoiser(**CONSISTENCY), tmp_path / 'x.pth', 'online')


@pytest.mark.parametrize(
    'theirs, match',
    [
        (CONSISTENCY, "type='KarrasDenoiser', and the config has 'FlowMapDenoiser'"),
        (dict(type='FlowMapDenoiser'), 'time_scale=1.0, and the config has 4.0'),
        (dict(type='FlowMapDenoiser', time_scale=4.0, velocity_head=True), 'velocity_head=True'),
    ],
)
def test_flow_map_is_told_from_other_kinds(tmp_path, theirs, match):
    ours = FlowMapDenoiser(dict(BACKBONE, num_conditions=1), time_scale=4.0)
    weights = ours.backbone.state_dict()
    with pytest.raises(InputError, match=match):
        load_denoiser(ours, write(tmp_path / 'x.safetensors', weights, theirs))
    load_denoiser(ours, write(tmp_path / 'y.safetensors', weights, settings_of(ours)))
