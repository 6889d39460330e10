import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mmcm.denoisers import FlowMapDenoiser, GuidanceInputs, KarrasDenoiser
from mmcm.noise.linear_path import time_of
from mmcm.objectives import Networks
from mmcm.objectives.flow_map import Batch, GuidedTarget
from mmcm.registry import OBJECTIVES
from mmcm.utils.errors import InputError

METHODS = dict(
    meanflow=dict(type='MeanFlow'),
    meanflow_differences=dict(type='MeanFlow', tangent=dict(type='FiniteDifferenceTangent')),
    imf=dict(type='ImprovedMeanFlow'),
    soflow=dict(type='SolutionFlow', curriculum=dict(type='AnnealingCurriculum', total_steps=10)),
    shortcut=dict(type='Shortcut', ratio=0.5),
)
NULL = 10


class Network(nn.Module):
    """Drops half of the features, and remembers masks, times and labels."""

    null_label = NULL

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.calls, self.masks = [], []

    def forward(self, z, t, labels, conditions):
        self.masks.append(torch.rand(z.shape) < 0.5)
        self.calls.append((t.detach(), (t - conditions[:, 0]).detach(), labels, torch.is_grad_enabled()))
        return self.weight * (z + 0.1 * (0 if labels is None else labels.view(-1, 1, 1, 1))) * self.masks[-1]


def run(name, labels=None, num=8, step=0, **changes):
    torch.manual_seed(0)
    denoiser = FlowMapDenoiser(dict(type=Network))
    objective = OBJECTIVES.build({**METHODS[name], **changes})
    x0 = torch.randn(num, 1, 2, 2)
    return denoiser.backbone, objective(Networks(denoiser, denoiser), x0, labels, step)


@pytest.mark.parametrize('name', METHODS)
def test_all_passes_see_the_same_dropout_mask(name):
    network, _ = run(name)
    whole = [mask for mask in network.masks if len(mask) == 8]
    assert all(torch.equal(mask, whole[0]) for mask in whole)
    parts = [mask for mask in network.masks if len(mask) < 8]  # of the images with a step
    assert len(parts) == (2 if name == 'shortcut' else 0) and all(torch.equal(mask, parts[0]) for mask in parts)
    assert len(whole) == dict(meanflow=2, meanflow_differences=3, imf=3, soflow=2, shortcut=1)[name]


@pytest.mark.parametrize('name', METHODS)
def test_one_pass_has_gradients_and_only_the_loss_has(name):
    network, log = run(name)
    assert [enabled for *_, enabled in network.calls].count(True) == 1
    assert log['loss'].requires_grad and not any(log[key].requires_grad for key in log if key != 'loss')
    assert all(log[key].shape == (8,) for key in ('loss', 'sigma', 'error'))
    assert log['sigma'].isfinite().all()


@pytest.mark.parametrize('name', METHODS)
def test_every_pass_gets_the_labels(name):
    labels = torch.arange(8)
    network, _ = run(name, labels)
    for t, _, seen, _ in network.calls:
        assert torch.equal(seen, labels if len(t) == 8 else labels[:4])


@pytest.mark.parametrize('name', ['meanflow', 'soflow'])
def test_guidance_evaluates_the_null_class_where_the_step_has_no_length(name):
    labels = torch.tensor([0, 1, NULL, 3, 4, 5, 6, 7])
    network, _ = run(name, labels, guidance=2.0, mixture=0.25)
    (null, own), others = network.calls[:2], network.calls[2:]
    assert (null[2] == NULL).all() and torch.equal(own[2], labels)
    for t, r, _, enabled in (null, own):
        assert torch.equal(t, r) and not enabled
    assert all(torch.equal(seen, labels) for _, _, seen, _ in others)
    assert len(network.calls) == 4
    assert len(run(name, labels, guidance=2.0)[0].calls) == 3  # no mixture: its own velocity is not needed


def batch(t, labels):
    z = torch.arange(len(t)).float().view(-1, 1, 1, 1)
    return Batch(z, t, t, torch.full_like(z, 100.0), labels, t[:, None][:, :0])


def test_guided_target_mixes_three_velocities_within_the_interval():
    def network(z, t, r, labels, guidance=None):
        return torch.where(labels == NULL, 1.0, 10.0).view(-1, 1, 1, 1).expand_as(z), None

    t = torch.tensor([0.19, 0.2, 0.5, 0.8, 0.81, 0.5])
    labels = torch.tensor([0, 1, 2, 3, 4, NULL])
    guided = GuidedTarget(2.0, 0.5, (0.2, 0.8))(network, NULL, batch(t, labels)).flatten()
    inside = 2 * 100 + 0.5 * 10 + (1 - 2 - 0.5) * 1
    assert_close(guided, torch.tensor([100, inside, inside, inside, 100, 100.0]))


def test_target_without_guidance_is_that_of_the_data():
    def network(*_):
        raise AssertionError('no evaluation is needed')

    given = batch(torch.tensor([0.5]), torch.tensor([0]))
    assert GuidedTarget(1.0, 0.0, (0.0, 1.0))(network, NULL, given) is given.velocity


@pytest.mark.parametrize('name', ['meanflow', 'soflow', 'shortcut'])
@pytest.mark.parametrize('labels', [None, torch.arange(8)])
def test_guidance_needs_a_null_class(monkeypatch, name, labels):
    monkeypatch.setattr(Network, 'null_label', None)
    with pytest.raises(InputError, match='null_class=True'):
        run(name, labels, guidance=2.0, **(dict(num_levels=1) if name == 'shortcut' else {}))


def test_solution_flow_steps_by_the_ratio_of_its_curriculum():
    network, log = run('soflow', step=10, times=dict(type='UniformTimes', ratio=1.0))
    (level, s, *_), (t, same, *_) = network.calls
    assert torch.equal(s, same) and log['ratio'] == pytest.approx(0.002)
    assert_close((t - level) / (t - s), torch.full((8,), 0.002), rtol=1e-3, atol=0)


@pytest.mark.parametrize('name', METHODS)
def test_log_has_the_noise_level_where_steps_begin(name):
    torch.manual_seed(0)
    denoiser, objective = FlowMapDenoiser(dict(type=Network)), OBJECTIVES.build(METHODS[name])
    draw, drawn = objective.draw, []
    objective.draw = lambda num: drawn.append(draw(num)) or drawn[0]
    log = objective(Networks(denoiser, denoiser), torch.randn(8, 1, 2, 2), None, 0)
    assert_close(time_of(log['sigma']), drawn[0][:, 0])


def test_mixture_alone_is_guidance():
    given = batch(torch.tensor([0.5]), torch.tensor([3]))

    def network(z, t, r, labels, guidance=None):
        return torch.where(labels == NULL, 1.0, 10.0).view(-1, 1, 1, 1).expand_as(z), None

    assert GuidedTarget(1.0, 0.5, (0.0, 1.0))(network, NULL, given).item() == 100 + 0.5 * 10 - 0.5 * 1


def test_target_of_shortcut_models_follows_slowly():
    objective = OBJECTIVES.build(METHODS['shortcut'])
    assert objective.needs_target and objective.target_decay(5) == 0.999


@pytest.mark.parametrize('name', METHODS)
def test_another_denoiser_is_refused(name):
    denoiser = KarrasDenoiser(dict(type=nn.Identity))
    with pytest.raises(InputError, match="model.denoiser.type='FlowMapDenoiser'"):
        OBJECTIVES.build(METHODS[name])(Networks(denoiser, denoiser), torch.zeros(2, 1, 2, 2), None, 0)


@pytest.mark.parametrize(
    'name, changes, match',
    [
        ('meanflow', dict(power=-1.0), 'power'),
        ('meanflow', dict(offset=0.0), 'offset'),
        ('meanflow', dict(guidance=0.0), 'guidance'),
        ('meanflow', dict(mixture=1.0), 'mixture'),
        ('meanflow', dict(guidance_interval=(0.5, 0.2)), 'guidance_interval'),
        ('imf', dict(max_guidance=-1.0), 'max_guidance'),
        ('shortcut', dict(ratio=2.0), 'ratio'),
        ('shortcut', dict(target_decay=1.5), 'decay'),
        ('shortcut', dict(clip=0.0), 'clip'),
        ('shortcut', dict(guidance=-1.0), 'guidance'),
        ('soflow', dict(guidance=-1.0), 'guidance'),
    ],
)
def test_options_that_cannot_be_are_refused(name, changes, match):
    with pytest.raises(InputError, match=match):
        OBJECTIVES.build({**METHODS[name], **changes})


def test_curriculum_of_solution_flow_needs_a_ratio():
    with pytest.raises(InputError, match='AnnealingCurriculum'):
        run('soflow', curriculum=dict(type='FixedCurriculum', num_scales=4, target_decay=0.0))


class Told(nn.Module):
    """u is 1 - 1 / w and ten times the label, but for the null class; the same for all pixels."""

    null_label = NULL

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, z, t, labels, conditions):
        known = (labels != NULL).float()
        return (self.weight * (10 * labels * known + conditions[:, 1])).view(-1, 1, 1, 1).expand_as(z)


def test_target_of_improved_mean_flow_is_guided_within_the_interval_and_for_known_labels():
    t = torch.tensor([0.19, 0.2, 0.5, 0.8, 0.81, 0.5])
    labels = torch.tensor([1, 2, 3, 4, 5, NULL])
    objective = OBJECTIVES.build(dict(type='ImprovedMeanFlow', power=0.0))
    objective.draw = lambda num: torch.stack([t, t], 1)
    inputs = GuidanceInputs(torch.full((6,), 4.0), torch.full((6,), 0.2), torch.full((6,), 0.8))
    objective.guidance_of = lambda batch: inputs
    denoiser = FlowMapDenoiser(dict(type=Told), guided=True)
    torch.manual_seed(0)
    x0 = torch.randn(6, 1, 1, 1)
    state = torch.get_rng_state()
    log = objective(Networks(denoiser), x0, labels, 0)
    torch.set_rng_state(state)
    velocity = (torch.randn_like(x0) - x0).flatten()
    guided = torch.tensor([False, True, True, True, False, False])
    change = torch.where(guided, 0.75 * (10 * labels + 0.75), 0)  # (1 - 1 / w) (v_c - v_u)
    u = torch.where(labels == NULL, 0, 10 * labels) + 0.75
    assert_close(log['error'], (u - velocity - change).square(), rtol=1e-4, atol=1e-4)


def test_steps_of_shortcut_models_follow_the_target_network():
    torch.manual_seed(0)
    online, target = (FlowMapDenoiser(dict(type=Network)) for _ in range(2))
    log = OBJECTIVES.build(METHODS['shortcut'])(Networks(online, target), torch.randn(8, 1, 2, 2), None, 0)
    assert [len(t) for t, *_ in target.backbone.calls] == [4, 4] and [len(t) for t, *_ in online.backbone.calls] == [8]
    log['loss'].mean().backward()
    assert online.backbone.weight.grad is not None and target.backbone.weight.grad is None


@pytest.mark.parametrize('ratio', [0.0, 0.5, 1.0])
def test_networks_of_shortcut_models_are_called_equally_often_whatever_the_batch_is(ratio):
    """Else a process without steps would keep the others of a sharded training waiting."""
    online, target = (FlowMapDenoiser(dict(type=Network)) for _ in range(2))
    objective = OBJECTIVES.build(dict(type='Shortcut', ratio=ratio, guidance=2.0))
    log = objective(Networks(online, target), torch.randn(8, 1, 2, 2), torch.arange(8), 0)
    assert (len(target.backbone.calls), len(online.backbone.calls)) == (4, 1) and log['loss'].isfinite().all()
    if not ratio:
        assert [len(t) for t, *_ in target.backbone.calls] == [1] * 4
