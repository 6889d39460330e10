from types import SimpleNamespace

import pytest
import torch

from mmcm.backbones.magnitude_preserving import MPConv
from mmcm.engine.hooks import AveragesHook
from mmcm.engine.strategies.fsdp import check_shardable
from mmcm.structures import DataSample
from mmcm.utils.errors import InputError
from mmcm.utils.mmengine_compat import CountedByDeepSpeed
from support.digits import BACKBONE, EDM2, build, objective_config

UNCERTAIN = dict(type='EDM', uncertainty=True)
TUNING = dict(type='EasyConsistencyTuning', curriculum=dict(type='ShrinkingCurriculum', stage_length=1))
TRUNCATED = dict(TUNING, type='TruncatedConsistencyTuning')
SHARED = {key: value for key, value in EDM2.items() if key != 'boundary'}
TRIGFLOW = dict(SHARED, type='TrigFlowDenoiser')
TWO_STAGES = dict(SHARED, type='TruncatedDenoiser')
METHODS = {  # objective and denoiser
    'edm2': (UNCERTAIN, EDM2),
    'ct': (objective_config(), dict(EDM2, boundary=True)),
    'ect': (TUNING, EDM2),
    'tcm': (TRUNCATED, TWO_STAGES),
    'sct': (dict(type='ContinuousConsistencyTraining'), TRIGFLOW),
}


def loss_of(model, step=0):
    torch.manual_seed(step)
    model.train().begin_step(step)
    return model(torch.rand(4, 1, 8, 8), DataSample.of(label=torch.tensor([0, 1, 2, 3])), mode='loss')['loss']


@pytest.mark.parametrize('method', METHODS)
def test_methods_train_a_network_of_edm2(method):
    objective, denoiser = METHODS[method]
    model = build(objective=objective, denoiser=denoiser, ema_decays=(0.9,))
    trained = {key: value for key, value in model.denoiser.named_parameters() if value.requires_grad}
    optimizer = torch.optim.Adam([*trained.values(), *model.objective.parameters()], lr=1e-2)
    for step in range(3):
        loss = loss_of(model, step)
        optimizer.zero_grad()
        loss.mean().backward()
        assert all(each.grad is not None and each.grad.isfinite().all() for each in trained.values())
        optimizer.step()
        model.update_averages()
    assert ('backbone.logvar_linear.weight' in trained) is (method == 'edm2')
    assert any('backbone.lower' in key for key in trained) is False


def sizes(model):
    return [
        module.weight.detach().square().flatten(1).mean(1).sqrt()
        for module in model.modules()
        if isinstance(module, MPConv)
    ]


def test_step_begins_with_weights_of_unit_size():
    model = build(objective=UNCERTAIN, denoiser=EDM2, ema_decays=(0.9,))
    before = [average.clone() for average in sizes(model.emas)]
    model.begin_step(0)
    assert all(torch.allclose(size, torch.ones_like(size), atol=0.01) for size in sizes(model.denoiser))
    assert any((size - 1).abs().max() > 0.05 for size in before)
    assert all(map(torch.equal, before, sizes(model.emas)))  # only the trained network


@pytest.mark.parametrize('method', METHODS)
def test_passes_of_a_step_leave_the_weights_as_they_are(method):
    objective, denoiser = METHODS[method]
    model = build(objective=objective, denoiser=denoiser)
    model.begin_step(0)
    weights = {key: value.clone() for key, value in model.denoiser.state_dict().items()}
    loss_of(build(objective=objective, denoiser=denoiser))  # begins a step of its own
    torch.manual_seed(0)
    model.train()(torch.rand(4, 1, 8, 8), DataSample.of(label=torch.tensor([0, 1, 2, 3])), mode='loss')
    assert all(torch.equal(value, weights[key]) for key, value in model.denoiser.state_dict().items())


def test_first_stage_of_a_truncated_model_keeps_its_weights():
    model = build(objective=TRUNCATED, denoiser=TWO_STAGES)
    before = {key: value.clone() for key, value in model.denoiser.backbone.lower.state_dict().items()}
    model.begin_step(0)
    assert all(torch.equal(value, before[key]) for key, value in model.denoiser.backbone.lower.state_dict().items())
    assert not torch.equal(
        model.denoiser.backbone.upper.unet.out_conv.weight, model.denoiser.backbone.lower.unet.out_conv.weight
    )


@pytest.mark.parametrize(
    'denoiser', [TRIGFLOW, dict(type='KarrasDenoiser', boundary=False, backbone=BACKBONE)], ids=['TrigFlow', 'ADM']
)
def test_uncertainty_needs_a_network_that_learns_it(denoiser):
    with pytest.raises(InputError, match="backbone.type='EDM2UNet', or uncertainty=False"):
        build(objective=UNCERTAIN, denoiser=denoiser)


def test_networks_whose_weights_are_normalised_are_not_sharded():
    model = build(objective=UNCERTAIN, denoiser=EDM2)
    with pytest.raises(InputError, match='cannot be trained with FSDP: train with DDP'):
        check_shardable(model)
    wrapper = CountedByDeepSpeed()
    with pytest.raises(InputError, match='cannot be trained with DeepSpeed: train with DDP'):
        AveragesHook().before_train(SimpleNamespace(optim_wrapper=wrapper, model=model))
    AveragesHook().before_train(SimpleNamespace(optim_wrapper=wrapper, model=build()))
