import pytest
import torch
from torch.testing import assert_close

from mmcm.denoisers import KarrasDenoiser
from mmcm.denoisers.guidance import Guidance
from mmcm.models.guidance import guided
from mmcm.models.teacher import GuidanceRange
from mmcm.objectives import EulerStep, Networks
from mmcm.registry import MODELS
from mmcm.structures import DataSample
from mmcm.utils.errors import InputError
from support.digits import BACKBONE, build, model_config, objective_config, randomise
from support.parity import Fixture, LabelledToyNetwork


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
    with pytest.raises(InputError, match='takes checkpoint, average, denoiser and guidance, got averages'):
        MODELS.build(model_config(objective=objective_config('ConsistencyDistillation'), teacher=teacher))


@pytest.mark.parametrize('case', ['cd_noguidance', 'cd_guided', 'cd_guided_default'])
def test_step_of_a_guided_teacher_agrees_with_fastgen(case):
    fixture = Fixture('fastgen_cd_guided')
    weights = {letter: fixture(f'teacher_{letter}') for letter in 'WbuE'}
    teacher = KarrasDenoiser(dict(type=LabelledToyNetwork, **weights), boundary=False, c_noise='log(sigma) / 4')
    scale = fixture.meta['cases'][case]['guidance_scale']
    networks = Networks(None, teacher=guided(teacher, Guidance(1.0 if scale is None else scale), null_label=4))
    t, r = fixture(case, 't_used'), fixture(case, 'r')
    y_t = (fixture('images').double() + t.view(-1, 1, 1, 1) * fixture(case, 'noise').double()).float()
    denoise = networks.teacher_with(fixture('labels_onehot').argmax(1))
    with torch.no_grad():
        y_r = EulerStep()(denoise, y_t, t.float(), r.float())
    expected = fixture(case, 'y_r')
    assert_close(y_r, expected, rtol=2e-5, atol=2e-5 * expected.abs().max().item())


NULL_CLASS = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, null_class=True), boundary=False)
CONTINUOUS = dict(type='ContinuousConsistencyDistillation', warmup_steps=1)
HALVING = dict(type='HalvingCurriculum', start_steps=8, stage_length=3)
PROGRESSIVE = dict(type='ProgressiveDistillation', curriculum=HALVING, distance=dict(type='L2'))


def gradient_of(objective, step=2, labels=(3, 4), **teacher):
    """Return a gradient of a model that distils a teacher with random weights, by the same draws each time."""
    denoiser = NULL_CLASS
    if objective is CONTINUOUS:
        denoiser = dict(type='TrigFlowDenoiser', backbone=dict(BACKBONE, null_class=True), time_scale=1.0)
        teacher['denoiser'] = dict(_delete_=True, **NULL_CLASS)
    model = build(denoiser=denoiser, objective=objective, teacher=dict(checkpoint='edm.pt', **teacher))
    randomise(model.teacher, seed=5)
    model.step = step
    sizes = []
    model.teacher.backbone.register_forward_hook(lambda module, given, output: sizes.append(len(given[0])))
    torch.manual_seed(0)
    x0 = torch.randn(2, 1, 8, 8).clamp(-1, 1)
    model(x0, DataSample.of(label=torch.tensor(labels)), mode='loss')['loss'].mean().backward()
    return model.denoiser.backbone.out[2].weight.grad, sizes


@pytest.mark.parametrize('objective', [objective_config('ConsistencyDistillation'), CONTINUOUS, PROGRESSIVE])
def test_teacher_is_guided_by_a_fixed_weight(objective):
    plain, sizes = gradient_of(objective)
    same, sizes_of_one = gradient_of(objective, guidance=1.0)
    assert torch.equal(plain, same) and set(sizes) == set(sizes_of_one) == {2}
    with_guidance, sizes = gradient_of(objective, guidance=3.0)
    assert set(sizes) == {4} and (with_guidance - plain).abs().max() > 0.01 * plain.abs().max()
    # Images of no given class have one estimate.
    null = [gradient_of(objective, labels=(10, 10), **options)[0] for options in ({}, dict(guidance=3.0))]
    assert_close(*null, rtol=0, atol=1e-3 * null[0].abs().max().item())


def test_teacher_that_was_the_student_is_not_guided_again():
    sizes = [gradient_of(PROGRESSIVE, step, guidance=3.0)[1] for step in (0, 2, 3, 7)]
    assert [set(each) for each in sizes] == [{4}, {4}, {2}, {2}]


def test_teacher_without_a_null_class_cannot_be_guided():
    config = dict(
        objective=objective_config('ConsistencyDistillation'), teacher=dict(checkpoint='edm.pt', guidance=2.0)
    )
    with pytest.raises(InputError, match='model.teacher.guidance=2.0 needs .*null_class=True'):
        build(**config)
    config['teacher']['denoiser'] = dict(backbone=dict(null_class=True))
    assert build(**config).teacher.backbone.null_label == 10


TOLD = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, null_class=True, num_conditions=1), guided=True)
DISTILLATION = objective_config('ConsistencyDistillation')


def told_model(guidance, **changes):
    teacher = dict(checkpoint='edm.pt', guidance=guidance)
    return build(**{**dict(denoiser=TOLD, objective=DISTILLATION, teacher=teacher), **changes})


def gradients_of(model):
    """Return the gradients of a step of which the draws are the same each time, without those of the scale."""
    model.step = 2
    randomise(model.teacher, seed=5)
    torch.manual_seed(0)
    x0 = torch.randn(4, 1, 8, 8).clamp(-1, 1)
    model.zero_grad()
    model(x0, DataSample.of(label=torch.tensor([3, 4, 5, 10])), mode='loss')['loss'].mean().backward()
    return {
        name: parameter.grad for name, parameter in model.denoiser.named_parameters() if 'condition_embed' not in name
    }


def test_scales_are_drawn_for_each_image_and_told_to_student_and_target():
    model = told_model(dict(low=1.5, high=4.0))
    assert model.teacher.backbone.num_conditions == 0 and not model.teacher.guided
    told, calls = [], []
    for network in (model.denoiser, model.target):
        network.register_forward_hook(lambda *call: told.append(call[2]['guidance']), with_kwargs=True)
    model.teacher.backbone.register_forward_hook(lambda module, given, output: calls.append(len(given[0])))
    gradients_of(model)
    assert len(told) == 2 and torch.equal(*told)
    assert len(set(told[0].tolist())) == 4 and told[0].min() >= 1.5 and told[0].max() <= 4
    assert set(calls) == {8}  # both estimates in one batch


def test_a_range_of_one_scale_is_that_fixed_scale():
    """The student's weights of the scale vanish, as at the start, so that only the teacher's guidance counts."""
    found, fixed = told_model(dict(low=3.0, high=3.0)), told_model(3.0, denoiser=dict(NULL_CLASS, boundary=True))
    for network in (found.denoiser, found.target):
        for parameter in network.backbone.condition_embed.parameters():
            parameter.data.zero_()
    shared = {key: value for key, value in found.denoiser.state_dict().items() if 'condition_embed' not in key}
    for network in (fixed.denoiser, fixed.target):
        network.load_state_dict(shared)
    drawn = fixed.loss

    def loss(inputs, data_samples=None):
        torch.rand(len(inputs))  # what the other model draws for the scales
        return drawn(inputs, data_samples)

    fixed.loss = loss
    gradients, expected = gradients_of(found), gradients_of(fixed)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6)


def test_student_that_takes_the_scale_starts_as_its_teacher(tmp_path):
    teacher = build(seed=3, denoiser=NULL_CLASS)
    torch.save(teacher.denoiser.backbone.state_dict(), tmp_path / 'teacher.pt')
    model = MODELS.build(
        model_config(
            denoiser=TOLD,
            objective=DISTILLATION,
            teacher=dict(checkpoint=str(tmp_path / 'teacher.pt'), guidance=dict(low=1.0, high=4.0)),
            init_from='teacher',
        )
    )
    model.init_weights()
    x, sigma, labels = torch.randn(2, 1, 8, 8), torch.tensor([1.0, 20.0]), torch.tensor([1, 10])
    x_and_levels = (x, torch.tensor([1.0, 20.0]), labels)
    with torch.no_grad():
        plain = KarrasDenoiser(NULL_CLASS['backbone'])
        plain.load_state_dict(teacher.denoiser.state_dict())
        assert torch.equal(model.denoiser(*x_and_levels, guidance=torch.tensor([1.0, 3.0])), plain(x, sigma, labels))


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(denoiser=NULL_CLASS), 'model.denoiser.guided=True'),
        (dict(teacher=dict(checkpoint='edm.pt')), r'model.teacher.guidance=dict\(low'),
        (dict(teacher=None, objective=dict(type='EDM')), r'model.teacher.guidance=dict\(low'),
        (dict(teacher=dict(checkpoint='edm.pt', guidance=dict(low=0.5, high=2.0))), '1 <= low <= high'),
        (dict(teacher=dict(checkpoint='edm.pt', guidance=dict(low=3.0, high=2.0))), '1 <= low <= high'),
        (dict(teacher=dict(checkpoint='edm.pt', guidance=dict(low=1.0))), 'a dict of low and high'),
        (dict(denoiser=dict(TOLD, boundary=False), objective=PROGRESSIVE), 'makes the student the next teacher'),
        (dict(denoiser=dict(TOLD, backbone=dict(BACKBONE, num_conditions=1))), 'null_class=True'),
        (dict(denoiser=dict(TOLD, backbone=dict(BACKBONE, null_class=True))), 'num_conditions=1'),
        (dict(denoiser=dict(TOLD, guidance=0.5)), 'from 1 on'),
    ],
)
def test_scales_that_cannot_be_learned_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        told_model(dict(low=1.0, high=4.0), **changes)


def test_scales_of_a_global_batch_are_dealt_to_the_processes(monkeypatch):
    scales = GuidanceRange(1.0, 4.0)
    torch.manual_seed(0)
    whole = scales.draw(6)
    monkeypatch.setattr('mmcm.models.teacher.get_world_size', lambda: 2)
    for rank in range(2):
        monkeypatch.setattr('mmcm.models.teacher.get_rank', lambda rank=rank: rank)
        torch.manual_seed(0)
        assert torch.equal(scales.draw(3), whole[rank::2])
