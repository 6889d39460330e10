import pytest
import torch

from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from support.digits import BACKBONE, build, model_config, objective_config


def test_distillation_starts_from_the_teacher(tmp_path):
    teacher = build(seed=3)
    torch.save(teacher.denoiser.backbone.state_dict(), tmp_path / 'teacher.pt')
    model = build(
        objective=objective_config('ConsistencyDistillation'),
        teacher=dict(checkpoint=str(tmp_path / 'teacher.pt')),
        init_from='teacher',
        ema_decays=(0.9,),
    )
    model.init_weights()
    expected = teacher.denoiser.backbone.state_dict()
    for network in (model.teacher, model.denoiser, model.target, model.emas['0_9']):
        assert all(torch.equal(network.backbone.state_dict()[key], value) for key, value in expected.items())
    assert model.teacher.offset == 0 and model.denoiser.offset > 0  # only the student obeys the boundary condition


def test_missing_teacher_is_named():
    with pytest.raises(InputError, match='teacher'):
        MODELS.build(model_config(objective=objective_config('ConsistencyDistillation')))
    model = build(objective=objective_config('ConsistencyDistillation'), teacher=dict(checkpoint='work_dirs/none'))
    with pytest.raises(InputError, match='work_dirs/none'):
        model.init_weights()


def test_teacher_of_another_architecture_is_refused_with_keys_and_shapes(tmp_path):
    other = build(denoiser=dict(type='KarrasDenoiser', backbone=dict(BACKBONE, base_channels=64)))
    path = str(tmp_path / 'other.pt')
    torch.save(other.denoiser.backbone.state_dict(), path)
    model = build(objective=objective_config('ConsistencyDistillation'), teacher=dict(checkpoint=path))
    with pytest.raises(InputError, match=r'shapes differ: time_embed.0.weight \(256, 64\) instead of \(128, 32\)'):
        model.init_weights()


@pytest.mark.parametrize(
    'change',
    [
        dict(denoiser=dict(type='KarrasDenoiser', backbone=dict(BACKBONE))),
        dict(teacher=dict(checkpoint='edm.pt', denoiser=dict(sigma_data=0.25))),
    ],
)
def test_network_that_could_not_become_its_own_teacher_is_refused(change):
    curriculum = dict(type='HalvingCurriculum', start_steps=8, stage_length=3)
    config = dict(
        denoiser=dict(type='KarrasDenoiser', backbone=dict(BACKBONE), boundary=False),
        objective=dict(type='ProgressiveDistillation', curriculum=curriculum, distance=dict(type='L2')),
        teacher=dict(checkpoint='edm.pt'),
    )
    build(**config)
    with pytest.raises(InputError, match='boundary=False'):
        build(**{**config, **change})


@pytest.mark.parametrize(
    'settings',
    [
        dict(teacher=dict(checkpoint='edm.pt')),
        dict(init_from='teacher'),
        dict(objective=objective_config(), teacher=dict(checkpoint='edm.pt')),
    ],
)
def test_teacher_without_an_objective_for_it_is_refused(settings):
    with pytest.raises(InputError, match='the objective has no use for one'):
        MODELS.build(model_config(**settings))


def test_unknown_setting_of_a_teacher_is_named():
    teacher = dict(checkpoint='edm.pt', averages='0.9')
    with pytest.raises(InputError, match='model.teacher takes checkpoint, average and denoiser, got averages'):
        MODELS.build(model_config(objective=objective_config('ConsistencyDistillation'), teacher=teacher))
