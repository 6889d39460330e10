"""Every consistency objective finds the consistency function of Gaussian data, of which the closed form is known."""

import pytest
import torch

from mmcm.objectives import Networks
from mmcm.registry import OBJECTIVES
from support.parity import gaussian_denoiser, gaussian_model

MEAN, STD = 0.3, 0.2
FINE = dict(type='FixedCurriculum', num_scales=161, target_decay=0.0)
NARROW = dict(sigma_min=0.01, sigma_max=5.0)
LEVELS = dict(type='UniformLevels', **NARROW)
OBJECTIVES_TO_TRAIN = [
    dict(type='ConsistencyTraining', curriculum=FINE, distance=dict(type='L2'), **NARROW),
    dict(type='ConsistencyDistillation', curriculum=FINE, distance=dict(type='L2'), **NARROW),
    dict(type='ImprovedConsistencyTraining', curriculum=FINE, **NARROW),
    dict(type='EasyConsistencyTuning', curriculum=dict(type='ShrinkingCurriculum', stage_length=10**6, q=32.0)),
    dict(type='ContinuousConsistencyTraining', warmup_steps=100, levels=LEVELS),
    dict(type='ContinuousConsistencyDistillation', warmup_steps=100, levels=LEVELS),
]


def teacher(x, sigma, labels):
    return gaussian_denoiser(x, sigma, MEAN, STD)


def train(config, denoiser, steps, batch_size=1024, rate=0.05):
    objective = OBJECTIVES.build(config).double()
    parameters = [denoiser.backbone.mean, denoiser.backbone.log_std]
    optimiser = torch.optim.Adam(parameters, lr=rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, steps)
    for step in range(steps):
        x0 = MEAN + STD * torch.randn(batch_size, 1, 1, 1).double()
        loss = objective(Networks(denoiser, denoiser, teacher), x0, None, step)['loss'].mean()
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters)):
            parameter.grad = gradient
        optimiser.step()
        schedule.step()
    return denoiser.backbone.mean.item(), denoiser.backbone.log_std.exp().item()


@pytest.mark.parametrize('config', OBJECTIVES_TO_TRAIN, ids=lambda config: config['type'])
def test_training_finds_the_consistency_function(config):
    torch.manual_seed(0)
    mean, std = train(config, gaussian_model(mean=0.0, std=0.5), steps=200)
    assert mean == pytest.approx(MEAN, abs=0.01)
    assert std == pytest.approx(STD, rel=0.04)


def test_training_a_diffusion_model_finds_the_mean_of_the_images_that_may_lie_behind():
    torch.manual_seed(0)
    denoiser = gaussian_model(exact=gaussian_denoiser, mean=0.0, std=0.5)
    mean, std = train(dict(type='EDM'), denoiser, steps=200)
    assert mean == pytest.approx(MEAN, abs=0.01)
    assert std == pytest.approx(STD, rel=0.04)
