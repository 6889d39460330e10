"""Every objective in mixed precision: the loss is about the same, and all weights get their gradients."""

import pytest
import torch

from mmcm.structures import DataSample
from support.digits import BACKBONE, build, randomise

CURRICULUM = dict(type='FixedCurriculum', num_scales=18, target_decay=0.9)
TUNING = dict(type='ShrinkingCurriculum', stage_length=1)
L2 = dict(type='L2')
DIFFUSION = dict(type='KarrasDenoiser', backbone=dict(BACKBONE), boundary=False)
CONTINUOUS = dict(type='TrigFlowDenoiser', backbone=dict(BACKBONE), time_scale=4.0)
FLOW_MAP = dict(type='FlowMapDenoiser', backbone=dict(BACKBONE, num_conditions=1, null_class=True))
GUIDED = dict(
    type='FlowMapDenoiser',
    backbone=dict(BACKBONE, num_conditions=4, out_channels=2, null_class=True),
    guided=True,
    velocity_head=True,
)
ANNEALING = dict(type='AnnealingCurriculum', total_steps=10, start_ratio=0.5)
METHODS = {
    'edm': (DIFFUSION, dict(type='EDM')),
    'ct': (None, dict(type='ConsistencyTraining', curriculum=CURRICULUM, distance=L2)),
    'cd': (None, dict(type='ConsistencyDistillation', curriculum=CURRICULUM, distance=L2)),
    'ict': (None, dict(type='ImprovedConsistencyTraining', curriculum=CURRICULUM)),
    'ect': (DIFFUSION, dict(type='EasyConsistencyTuning', curriculum=TUNING)),
    'pd': (
        DIFFUSION,
        dict(
            type='ProgressiveDistillation',
            distance=L2,
            curriculum=dict(type='HalvingCurriculum', start_steps=8, stage_length=9),
        ),
    ),
    'sct': (CONTINUOUS, dict(type='ContinuousConsistencyTraining', warmup_steps=0)),
    'scd': (CONTINUOUS, dict(type='ContinuousConsistencyDistillation', warmup_steps=0)),
    'meanflow': (FLOW_MAP, dict(type='MeanFlow', guidance=1.5, mixture=0.2)),
    'imf': (GUIDED, dict(type='ImprovedMeanFlow')),
    'soflow': (FLOW_MAP, dict(type='SolutionFlow', curriculum=ANNEALING)),
    'shortcut': (FLOW_MAP, dict(type='Shortcut', num_levels=2, ratio=0.5)),
    'scd with differences': (
        CONTINUOUS,
        dict(type='ContinuousConsistencyDistillation', tangent=dict(type='FiniteDifferenceTangent'), warmup_steps=0),
    ),
}


@pytest.mark.parametrize('method', METHODS)
def test_gradients_arrive(method):
    denoiser, objective = METHODS[method]
    teacher = dict(checkpoint='not read here') if method[:2] in ('cd', 'pd', 'sc') and method != 'sct' else None
    changes = dict(objective=objective, teacher=teacher, **(dict(denoiser=denoiser) if denoiser else {}))
    model = build(**changes).train()
    if model.teacher is not None:
        randomise(model.teacher.backbone, seed=1)
    model.begin_step(4)
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    labels = DataSample.of(label=torch.arange(6))
    parts = {}
    for enabled in (False, True):
        torch.manual_seed(1)
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            parts[enabled] = model(images, labels, mode='loss')
    parts[True]['loss'].float().mean().backward()
    gradients = [parameter.grad for parameter in model.denoiser.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert sum(bool(gradient.any()) for gradient in gradients) > 0.9 * len(gradients)
    torch.testing.assert_close(parts[True]['loss'].float(), parts[False]['loss'], rtol=0.2, atol=0.02)


@pytest.mark.parametrize('method', ['sct', 'scd', 'meanflow', 'imf'])
def test_derivative_and_embedding_stay_in_full_precision(monkeypatch, method):
    """The slope is that without autocast, bit for bit, and no layer of an embedding computes in bfloat16."""
    denoiser, objective = METHODS[method]
    teacher = dict(checkpoint='not read here') if method == 'scd' else None
    model = build(denoiser=denoiser, objective=objective, teacher=teacher).train()
    if model.teacher is not None:
        randomise(model.teacher.backbone, seed=1)
    backbone, dtypes, slopes = model.denoiser.backbone, set(), []
    for layer in (
        *backbone.time_embed,
        *(layer for embed in getattr(backbone, 'condition_embed', ()) for layer in embed),
    ):
        layer.register_forward_hook(lambda module, inputs, output: dtypes.add(output.dtype))
    blocks = []
    backbone.input_blocks[0][0].register_forward_hook(lambda module, inputs, output: blocks.append(output.dtype))
    tangent = model.objective.tangent

    def measured(network, x, t, x_direction, t_direction):
        slope = tangent(network, x, t, directions[0], t_direction)
        slopes.append(slope)
        return slope

    directions = [torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(2))]
    monkeypatch.setattr(model.objective, 'tangent', measured)
    model.begin_step(4)
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for enabled in (False, True):
        torch.manual_seed(1)
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            model(images, DataSample.of(label=torch.arange(6)), mode='loss')
    assert dtypes == {torch.float32} and blocks[-1] == torch.bfloat16  # the rest of the network is in autocast
    assert slopes[1].dtype == torch.float32
    assert torch.equal(*slopes)
