import pytest
import torch

from mmcm.models.consistency_model import inference_config
from mmcm.registry import MODELS
from mmcm.structures import DataSample
from mmcm.utils.errors import InputError
from support.digits import BACKBONE, build, model_config, objective_config, randomise


def test_averages_follow_with_their_decays():
    model = build(objective=objective_config(), ema_decays=(0.9, 0.0))
    before = [p.clone() for p in model.denoiser.parameters()]
    randomise(model.denoiser, seed=5)
    model.step = 0
    model.update_averages()
    for old, online, target, slow, fast in zip(
        before,
        model.denoiser.parameters(),
        model.target.parameters(),
        model.emas['0_9'].parameters(),
        model.emas['0_0'].parameters(),
    ):
        torch.testing.assert_close(target, 0.5 * old + 0.5 * online)
        torch.testing.assert_close(slow, 0.9 * old + 0.1 * online)
        torch.testing.assert_close(fast, online.data)


def test_only_the_online_network_is_trained():
    model = build(objective=objective_config(), ema_decays=(0.9,))
    model.step = 0
    model.train()
    images = torch.rand(4, 1, 8, 8) * 2 - 1
    parts = model(images, DataSample.of(label=torch.tensor([0, 1, 2, 3])), mode='loss')
    parts['loss'].mean().backward()
    assert all(p.grad is not None for p in model.denoiser.parameters())
    assert all(p.grad is None and not p.requires_grad for p in (*model.target.parameters(), *model.emas.parameters()))
    assert parts['num_scales'] == 18 and parts['target_decay'] == 0.5


def progressive(tmp_path, **changes):
    """Return a model whose stages begin with the steps 3, 6 and 12, and whose networks are all different."""
    torch.save(build(seed=3).denoiser.backbone.state_dict(), tmp_path / 'teacher.pt')
    curriculum = dict(type='HalvingCurriculum', start_steps=8, stage_length=3)
    model = build(
        denoiser=dict(type='KarrasDenoiser', backbone=dict(BACKBONE), boundary=False),
        objective=dict(type='ProgressiveDistillation', curriculum=curriculum, distance=dict(type='L2')),
        teacher=dict(checkpoint=str(tmp_path / 'teacher.pt')),
        ema_decays=(0.9, 0.5),
        **changes,
    )
    for seed, network in enumerate((model.teacher, *model.emas.values())):
        randomise(network, seed=10 + seed)
    return model


def weights_of(*networks):
    return [[parameter.clone() for parameter in network.parameters()] for network in networks]


def same_weights(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second))


def test_stage_begins_with_the_network_as_its_own_teacher(tmp_path):
    model = progressive(tmp_path)
    before = weights_of(model.denoiser, model.teacher, *model.emas.values())
    for step in (0, 1, 2, 4):
        assert model.begin_step(step) is False and model.step == step
    networks = (model.denoiser, model.teacher, *model.emas.values())
    assert all(map(same_weights, weights_of(*networks), before))
    assert model.begin_step(3) is True and model.step == 3
    assert all(same_weights(weights, before[0]) for weights in weights_of(*networks))


def test_teacher_stays_frozen_and_apart_when_it_is_renewed(tmp_path):
    model = progressive(tmp_path).train()
    model.begin_step(3)
    (before,) = weights_of(model.teacher)
    randomise(model.denoiser, seed=7)
    assert same_weights(weights_of(model.teacher)[0], before)
    assert not model.teacher.training and not any(p.requires_grad for p in model.teacher.parameters())


def test_only_stages_renew_teachers_and_averages():
    model = build(objective=objective_config(), ema_decays=(0.9,))
    randomise(model.denoiser, seed=5)
    before = weights_of(model.target, *model.emas.values())
    assert not any(model.begin_step(step) for step in range(100))
    assert all(map(same_weights, weights_of(model.target, *model.emas.values()), before))
    assert build().begin_step(5) is False  # without an objective


@pytest.mark.parametrize(
    'name, denoiser, options',
    [
        (
            'ImprovedConsistencyTraining',
            'KarrasDenoiser',
            dict(curriculum=dict(type='DoublingCurriculum', start_scales=4, end_scales=8, total_steps=10)),
        ),
        ('EasyConsistencyTuning', 'KarrasDenoiser', dict(curriculum=dict(type='ShrinkingCurriculum', stage_length=5))),
        (
            'TruncatedConsistencyTuning',
            'TruncatedDenoiser',
            dict(curriculum=dict(type='ShrinkingCurriculum', stage_length=5)),
        ),
        ('ContinuousConsistencyTraining', 'TrigFlowDenoiser', {}),
        ('MeanFlow', 'FlowMapDenoiser', {}),
        ('ImprovedMeanFlow', 'FlowMapDenoiser', {}),
        ('SolutionFlow', 'FlowMapDenoiser', dict(curriculum=dict(type='AnnealingCurriculum', total_steps=5))),
        ('ContinuousConsistencyDistillation', 'TrigFlowDenoiser', dict(tangent=dict(type='FiniteDifferenceTangent'))),
    ],
)
def test_objectives_without_a_target_network_train_and_average(tmp_path, name, denoiser, options):
    torch.save(build(seed=3).denoiser.backbone.state_dict(), tmp_path / 'teacher.pt')
    needs_teacher = name.endswith('Distillation')
    model = build(
        denoiser=dict(type=denoiser, backbone=dict(BACKBONE, num_conditions=int(denoiser == 'FlowMapDenoiser'))),
        objective=dict(type=name, **options),
        ema_decays=(0.9,),
        teacher=dict(checkpoint=str(tmp_path / 'teacher.pt')) if needs_teacher else None,
    )
    assert model.target is None and (model.teacher is not None) == needs_teacher
    model.train().begin_step(0)
    parts = model(torch.rand(4, 1, 8, 8), DataSample.of(label=torch.tensor([0, 1, 2, 3])), mode='loss')
    assert parts['loss'].shape == (4,) and parts['loss'].isfinite().all()
    total, log = model.parse_losses(parts)
    torch.testing.assert_close(total, parts['loss'].mean())  # nothing else is minimised
    assert 'sigma' in parts and 'sigma' not in log
    assert parts['sigma'].shape == (4,) and not parts['sigma'].requires_grad
    total.backward()
    trained = [p for p in model.denoiser.parameters() if p.requires_grad]
    frozen = [key for key, p in model.denoiser.named_parameters() if not p.requires_grad]
    assert trained and all(key.startswith('backbone.lower.') for key in frozen)  # the first stage of TCM
    assert bool(frozen) is (name == 'TruncatedConsistencyTuning')
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)
    assert all(p.grad is not None for p in model.objective.parameters())
    model.update_averages()


def test_target_drops_out_and_averages_do_not():
    model = build(objective=objective_config(), ema_decays=(0.9,)).train()
    assert model.target.training and not model.emas['0_9'].training


def test_training_without_the_step_says_what_is_missing():
    with pytest.raises(InputError, match='AveragesHook'):
        build(objective=objective_config()).loss(torch.zeros(1, 1, 8, 8), DataSample.of(label=0))


def test_inference_config_builds_one_network():
    config = model_config(objective=objective_config(), ema_decays=(0.9,))
    model = MODELS.build(inference_config(config))
    assert model.target is None and not model.emas and model.objective is None


def test_root_registry_builds_the_model_under_another_default_scope():
    from mmengine.registry import MODELS as ROOT
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope('mmengine'):
        model = ROOT.build(model_config(type='mmcm.ConsistencyModel'))
    assert model.sample(1, 0).shape == (1, 1, 8, 8)


def test_former_names_warn_and_work():
    from mmcm.models import averages, consistency_model

    model = build(ema_decays=(0.9,))
    with pytest.warns(DeprecationWarning, match='drawing_denoiser is inference_denoiser now'):
        assert model.drawing_denoiser is model.inference_denoiser
    with pytest.warns(DeprecationWarning, match='drawing_config is inference_config now'):
        assert consistency_model.drawing_config is inference_config
    with pytest.warns(DeprecationWarning, match='follow is mmcm.models.averages.update_ema now'):
        assert consistency_model.follow is averages.update_ema
    with pytest.raises(AttributeError, match='no attribute'):
        consistency_model.follows  # noqa: B018


def with_null_class(**changes):
    return build(
        denoiser=dict(type='KarrasDenoiser', backbone=dict(BACKBONE, null_class=True), boundary=False),
        objective=dict(type='EDM'),
        **changes,
    )


def labels_of_objective(model, monkeypatch, num=400):
    seen = []
    forward = model.objective.forward
    monkeypatch.setattr(model.objective, 'forward', lambda *arguments: seen.append(arguments[2]) or forward(*arguments))
    model.step = 0
    labels = torch.arange(num) % 10
    with torch.no_grad():
        model(torch.zeros(num, 1, 8, 8), DataSample.of(label=labels), mode='loss')
    return labels, seen[0]


def test_objective_sees_dropped_labels_as_the_null_class(monkeypatch):
    model = with_null_class(label_dropout=0.25)
    assert (model.num_classes, model.null_label) == (10, 10)
    torch.manual_seed(0)
    labels, seen = labels_of_objective(model, monkeypatch)
    dropped = seen != labels
    assert (seen[dropped] == 10).all() and 60 < dropped.sum() < 140


def test_without_label_dropout_no_random_number_is_drawn_for_it(monkeypatch):
    losses = []
    for model in (with_null_class(), build(objective=dict(type='EDM'))):
        torch.manual_seed(0)
        labels, seen = labels_of_objective(model, monkeypatch, num=10)
        assert torch.equal(labels, seen)
        losses.append(torch.rand(1))
    assert torch.equal(*losses)


@pytest.mark.parametrize('ratio, match', [(1.5, 'from 0 to 1'), (-0.1, 'from 0 to 1'), ('often', 'a number')])
def test_label_dropout_has_to_be_a_share(ratio, match):
    with pytest.raises(InputError, match=match):
        with_null_class(label_dropout=ratio)


def test_label_dropout_needs_a_null_class():
    with pytest.raises(InputError, match='null_class=True'):
        build(objective=dict(type='EDM'), label_dropout=0.1)


def test_null_class_cannot_be_asked_for():
    with pytest.raises(InputError):
        with_null_class().check_labels([10], 1)


@pytest.mark.parametrize('objective', ['MeanFlow', 'ImprovedMeanFlow'])
def test_flow_map_gets_the_labels_of_augmentation(monkeypatch, objective):
    model = build(
        denoiser=dict(type='FlowMapDenoiser', backbone=dict(BACKBONE, num_conditions=1, augment_dim=9)),
        objective=dict(type=objective),
        augmentation=dict(type='EDMAugmentation', probability=1.0),
    )
    seen, forward = [], model.denoiser.backbone.forward

    def listen(*arguments, augment_labels=None, **options):
        seen.append(augment_labels)
        return forward(*arguments, augment_labels=augment_labels, **options)

    monkeypatch.setattr(model.denoiser.backbone, 'forward', listen)
    model.train().begin_step(0)
    model(torch.zeros(4, 1, 8, 8), DataSample.of(label=torch.arange(4)), mode='loss')['loss'].mean().backward()
    assert len(seen) >= 2 and all(torch.equal(labels, seen[0]) for labels in seen)
    assert seen[0].shape == (4, 9) and seen[0].any()


def test_config_for_sampling_has_no_label_dropout():
    assert 'label_dropout' not in inference_config(dict(denoiser={}, label_dropout=0.1))
