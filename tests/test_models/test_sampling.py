from contextlib import nullcontext

import pytest
import torch

from mmcm.config import read_config
from mmcm.models import sampling
from mmcm.noise.generators import SampleNoise
from mmcm.registry import MODELS, SAMPLERS
from mmcm.samplers import EulerSampler, FlowMapSampler, MultistepSampler
from mmcm.structures import DataSample
from mmcm.utils.errors import InputError
from support.digits import BACKBONE, build, objective_config, randomise

UNCONDITIONAL = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, num_classes=None))


def test_image_depends_on_its_seed_and_label_but_not_on_the_batch():
    model = build()
    together = model.sample(3, [1, 2, 3], SampleNoise([7, 8, 9]))
    alone = model.sample(1, [2], SampleNoise([8]))
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-5)
    assert not torch.allclose(together[1], model.sample(1, [3], SampleNoise([8]))[0], atol=1e-3)


def test_predict_draws_what_was_requested():
    model = build()
    requests = [DataSample.of(label=label, sample_seed=seed) for label, seed in ((4, 11), (6, 12))]
    drawn = model(data_samples=requests, mode='predict')
    expected = model.data_preprocessor.destruct(model.sample(2, [4, 6], SampleNoise([11, 12])))
    assert torch.equal(torch.stack([sample.fake_img for sample in drawn]), expected)
    assert [sample.gt_label.label.item() for sample in drawn] == [4, 6]
    assert drawn[0].fake_img.dtype == torch.uint8 and drawn[0].fake_img.shape == (1, 8, 8)
    assert 'fake_img' not in requests[0]


def test_tensor_mode_starts_from_the_given_noise():
    model = build()
    noise = SampleNoise([1, 2]).randn(2, 1, 8, 8)
    samples = DataSample.of(label=torch.tensor([3, 4]))
    expected = model.sample(2, [3, 4], latents=noise)
    assert torch.equal(model(noise, samples), expected)


def test_clipping_binds_the_estimates():
    seen = []
    model = build()
    randomise(model, seed=1)
    with torch.no_grad():
        model.denoiser.backbone.out[2].weight.mul_(100)
    model.sample(2, 0, callback=lambda step, sigma, x, x0: seen.append(x0.abs().max().item()))
    model.sample(2, 0, clip=False, callback=lambda step, sigma, x, x0: seen.append(x0.abs().max().item()))
    assert max(seen[:2]) <= 1 < max(seen[2:])


def test_nothing_is_dropped_out_of_what_is_drawn():
    model = build(denoiser=dict(type='KarrasDenoiser', backbone=dict(BACKBONE, dropout=0.5)))
    whole = model.eval().sample(2, [3, 4])
    assert torch.equal(model.train().sample(2, [3, 4]), whole)


def test_sampling_leaves_the_mode_as_it_was():
    model = build(objective=objective_config()).train()
    model.sample(1, 0)
    assert model.denoiser.training


@pytest.mark.parametrize('labels', [10, -1, [0, 12], [1, 2, 3], None, [0.5, 1.5]])
def test_labels_that_do_not_fit_are_refused(labels):
    with pytest.raises(InputError):
        build().sample(2, labels)


def test_unconditional_model_refuses_a_label_and_draws_without():
    model = build(denoiser=UNCONDITIONAL)
    with pytest.raises(InputError, match='unconditional'):
        model.sample(1, 0)
    assert model.sample(2).shape == (2, 1, 8, 8)


def test_latents_of_a_wrong_shape_are_refused():
    with pytest.raises(InputError, match=r'\(2, 1, 8, 8\)'):
        build().sample(2, 0, latents=torch.zeros(2, 3, 8, 8))


def test_first_average_samples():
    model = build(ema_decays=(0.9,))
    before = model.sample(1, 0)
    randomise(model.denoiser, seed=5)
    assert torch.equal(model.sample(1, 0), before)


def test_former_ways_to_sample_many_images_still_work():
    model = build()
    expected = model.data_preprocessor.destruct(model.sample(3, [1, 2, 3], SampleNoise([7, 8, 9])))
    with pytest.warns(DeprecationWarning, match='draw and batches are deprecated'):
        drawn = model.draw([7, 8, 9], [1, 2, 3], batch_size=2)
    assert drawn.dtype == torch.uint8
    assert (drawn.int() - expected.int()).abs().max() <= 1  # batches of another size round in another way


def flow_map(**changes):
    """Return a flow map, whose network has seen the noise levels and labels of its calls."""
    return build(
        denoiser=dict(type='FlowMapDenoiser', backbone=dict(BACKBONE, num_conditions=1)),
        sampler=dict(type='FlowMapSampler', num_steps=2),
        **changes,
    )


def times_of(model, monkeypatch, sampler):
    """Return t and r of each call of the network."""
    seen, forward = [], model.denoiser.backbone.forward
    backbone = model.denoiser.backbone

    def listen(z, t, labels, conditions):
        seen.append((t[0].item(), (t - conditions[:, 0])[0].item()))
        return forward(z, t, labels, conditions=conditions)

    monkeypatch.setattr(backbone, 'forward', listen)
    images = model.sample(2, [3, 4], sampler=sampler)
    assert images.shape == (2, 1, 8, 8) and images.isfinite().all()
    return seen


@pytest.mark.parametrize(
    'sampler, expected',
    [
        (None, [(1.0, 0.5), (0.5, 0.0)]),  # the model's own
        (FlowMapSampler(times=(1.0, 0.75)), [(1.0, 0.75), (0.75, 0.0)]),
        (FlowMapSampler(num_steps=2, stochastic=True), [(1.0, 0.0), (0.5, 0.0)]),
        (MultistepSampler(sigmas=(3.0, 1.0)), [(0.75, 0.0), (0.5, 0.0)]),  # as a consistency model
        (EulerSampler(sigmas=(3.0, 1.0)), [(0.75, 0.75), (0.5, 0.5)]),  # as a diffusion model
    ],
)
def test_sampler_decides_where_the_steps_of_a_flow_map_lead(monkeypatch, sampler, expected):
    seen = times_of(flow_map(), monkeypatch, sampler)
    assert [pytest.approx(times, abs=1e-6) for times in expected] == seen


def test_flow_map_sampler_is_refused_for_other_denoisers():
    with pytest.raises(InputError, match='FlowMapSampler samples from flow maps.*got a KarrasDenoiser'):
        build().sample(1, [0], sampler=FlowMapSampler(1))


def test_flow_map_sampler_is_refused_for_other_noise():
    model = build(
        denoiser=dict(type='FlowMapDenoiser', backbone=dict(BACKBONE, num_conditions=1), noise_scale=2.0),
        sampler=dict(type='FlowMapSampler', num_steps=2, noise_scale=2.0),
    )
    model.sample(1, [0])
    with pytest.raises(InputError, match=r'noise_scale=2.0, got 1.0 of its FlowMapSampler'):
        model.sample(1, [0], sampler=FlowMapSampler(2))


def test_weights_of_edm2_are_normalised_once_for_all_evaluations(monkeypatch):
    config = read_config('edm2_1xb32_digits-8x8').model
    torch.manual_seed(0)
    model = MODELS.build(dict(config, sampler=dict(type='HeunSampler', num_steps=3), objective=None)).eval()
    calls = []
    normalise = sampling.normalized_once
    with monkeypatch.context() as patched:
        patched.setattr(sampling, 'normalized_once', lambda *networks: nullcontext())
        expected = model.sample(2, [0, 1])
    monkeypatch.setattr(sampling, 'normalized_once', lambda *networks: calls.append(networks) or normalise(*networks))
    assert torch.equal(model.sample(2, [0, 1]), expected)
    assert calls == [(model.inference_denoiser,)]
    model.sample(1, 0, sampler=SAMPLERS.build(dict(type='EulerSampler', num_steps=1)))
    assert len(calls) == 1  # one evaluation has nothing to keep
