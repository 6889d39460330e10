import pytest
import torch
from mmengine.config import Config

from mmcm.apis.convert import convert
from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.denoisers.augmented import AugmentedDenoiser, with_augment_labels
from mmcm.registry import MODELS
from mmcm.structures import DataSample
from mmcm.utils.errors import InputError
from support.digits import BACKBONE, build, model_config, objective_config, randomise

AUGMENTATION = dict(type='EDMAugmentation', probability=0.5)
KNOWING = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, augment_dim=9))
TRIGFLOW = dict(KNOWING, type='TrigFlowDenoiser')
FIXED = dict(type='FixedCurriculum', num_scales=18, target_decay=0.5)
METHODS = dict(
    edm=dict(objective=dict(type='EDM')),
    ct=dict(objective=objective_config()),
    ict=dict(objective=dict(type='ImprovedConsistencyTraining', curriculum=FIXED)),
    ect=dict(objective=dict(type='EasyConsistencyTuning', curriculum=dict(type='ShrinkingCurriculum', stage_length=1))),
    cd=dict(objective=objective_config('ConsistencyDistillation'), teacher=dict(checkpoint='none')),
    pd=dict(
        denoiser=dict(KNOWING, boundary=False),
        objective=dict(type='ProgressiveDistillation', curriculum=FIXED, distance=dict(type='L2')),
        teacher=dict(checkpoint='none'),
    ),
    sct=dict(denoiser=TRIGFLOW, objective=dict(type='ContinuousConsistencyTraining')),
    scd=dict(
        denoiser=TRIGFLOW,
        objective=dict(type='ContinuousConsistencyDistillation'),
        teacher=dict(checkpoint='none', denoiser=dict(backbone=dict(augment_dim=None))),
    ),
)


def model(**changes):
    changes = {**dict(denoiser=KNOWING, augmentation=AUGMENTATION), **changes}
    return build(**changes)


@pytest.mark.parametrize('method', METHODS)
def test_labels_reach_the_networks_that_know_them_with_every_objective(method):
    trained = model(**METHODS[method])
    if trained.teacher is not None:
        randomise(trained.teacher.backbone)
    networks = dict(denoiser=trained.denoiser, target=trained.target, teacher=trained.teacher)
    given = {}
    for name, network in networks.items():
        if network is not None:
            network.backbone.register_forward_pre_hook(
                lambda _, args, name=name: given.setdefault(name, []).append(args[3] if len(args) > 3 else None)
            )
    trained.begin_step(0)
    images = torch.randn(16, 1, 8, 8).clamp(-1, 1)
    torch.manual_seed(0)
    loss = trained.loss(images, labels(16))
    loss['loss'].mean().backward()
    assert trained.denoiser.backbone.augment_emb.weight.grad.abs().sum() > 0
    torch.manual_seed(0)
    _, expected = trained.augmentation(images)
    assert expected.abs().sum() > 0 and given['denoiser']
    for name, found in given.items():
        knows = networks[name].backbone.augment_dim is not None
        assert all(torch.equal(each, expected) if knows else each is None for each in found)


def labels(number):
    return DataSample.of(torch.arange(number) % 10)


def test_sampling_gives_no_labels_and_is_that_of_the_network_without_them():
    trained = model(objective=dict(type='EDM'))
    plain = build(seed=1)
    weights = {key: value for key, value in trained.denoiser.state_dict().items() if 'augment_emb' not in key}
    assert len(weights) == len(trained.denoiser.state_dict()) - 1
    plain.denoiser.load_state_dict(weights)
    assert torch.equal(trained.sample(4, labels=3), plain.sample(4, labels=3))


def test_labels_of_zero_change_nothing_and_others_do():
    denoiser = model().denoiser
    x, sigma, classes = torch.randn(2, 1, 8, 8), torch.tensor([1.0, 2.0]), torch.tensor([1, 2])
    assert torch.equal(AugmentedDenoiser(denoiser, torch.zeros(2, 9))(x, sigma, classes), denoiser(x, sigma, classes))
    assert not torch.allclose(
        AugmentedDenoiser(denoiser, torch.ones(2, 9))(x, sigma, classes), denoiser(x, sigma, classes)
    )


def test_network_without_labels_is_left_as_it_is():
    denoiser = build().denoiser
    assert with_augment_labels(denoiser, torch.zeros(2, 9)) is denoiser
    assert 'augment_emb.weight' not in denoiser.backbone.state_dict()  # nor in the released checkpoints


def test_network_starts_without_an_effect_of_the_labels():
    assert not MODELS.build(dict(BACKBONE, augment_dim=9)).augment_emb.weight.any()


def test_numbers_of_labels_that_differ_are_refused():
    with pytest.raises(InputError, match=r'has 9 labels, and the network takes none: set .*augment_dim=9'):
        MODELS.build(model_config(augmentation=AUGMENTATION))
    with pytest.raises(InputError, match='has 11 labels, and the network takes 9'):
        model(augmentation=dict(AUGMENTATION, rotate_int=1))
    with pytest.raises(InputError, match='has 9 labels, and the teacher takes 4'):
        model(
            objective=objective_config('ConsistencyDistillation'),
            teacher=dict(checkpoint='none', denoiser=dict(backbone=dict(augment_dim=4))),
        )


def test_weights_are_saved_and_loaded_and_exported_to_diffusers(tmp_path):
    trained = model()
    config = Config(dict(model=model_config(denoiser=KNOWING, augmentation=AUGMENTATION))).pretty_text
    state = {f'denoiser.{key}': value for key, value in trained.denoiser.state_dict().items()}
    torch.save(dict(meta=dict(cfg=config), state_dict=state), tmp_path / 'run.pth')
    for to, name in (('mmcm', 'own.safetensors'), ('diffusers', 'folder')):
        convert(tmp_path / 'run.pth', tmp_path / name, to)
        checkpoint = Checkpoint.open(tmp_path / name)
        loaded = MODELS.build(checkpoint.config['model'])
        loaded.load_checkpoint(checkpoint)
        assert loaded.augmentation is None
        found, expected = (each.sample(2, labels=1, sampler=trained.sampler) for each in (loaded, trained))
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    convert(tmp_path / 'run.pth', tmp_path / 'openai.pt', 'openai')
    assert torch.load(tmp_path / 'openai.pt').keys() == build().denoiser.backbone.state_dict().keys()


def test_training_without_augmentation_leaves_no_parameter_without_a_gradient():
    trained = build(denoiser=KNOWING, objective=dict(type='EDM'))
    trained.begin_step(0)
    trained.loss(torch.zeros(2, 1, 8, 8), labels(2))['loss'].mean().backward()
    assert all(parameter.grad is not None for parameter in trained.denoiser.parameters())
    assert not trained.denoiser.backbone.augment_emb.weight.grad.any()
