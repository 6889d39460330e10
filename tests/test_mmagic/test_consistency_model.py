import numpy as np
import pytest
import torch

from mmcm.noise.generators import DeterministicNoise, SampleNoise, sample_seeds
from mmcm.structures import DataSample
from mmcm.utils.errors import InputError
from mmcm.utils.finite import NotFiniteError
from support.digits import BACKBONE, build

COLOURED = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, in_channels=3, out_channels=3))


def stacked(samples):
    return torch.stack([sample.fake_img for sample in samples])


def test_samples_have_what_was_asked_for():
    samples = build()(dict(num_batches=3, labels=[3, 1, 4], sample_model='ema'), mode='predict')
    assert [int(sample.gt_label.label) for sample in samples] == [3, 1, 4]
    assert all(sample.fake_img.shape == (3, 8, 8) and sample.fake_img.dtype == torch.uint8 for sample in samples)
    assert {sample.sample_model for sample in samples} == {'ema'}


def test_images_are_blue_first():
    model = build(denoiser=COLOURED)
    samples = model(dict(num_batches=2, labels=0, sample_kwargs=dict(seed=3)))
    images = model.sample(2, 0, SampleNoise(sample_seeds(2, 3)))
    assert torch.equal(stacked(samples).flip(1), model.data_preprocessor.destruct(images))


def test_data_step_of_mmengine_passes_the_call_on():
    model = build()
    samples = model.val_step(dict(inputs=dict(num_batches=2, sample_model='orig')))
    assert len(samples) == 2


def test_label_zero_is_a_label_and_none_is_random():
    model = build()
    assert {int(sample.gt_label.label) for sample in model(dict(num_batches=30, labels=0))} == {0}
    torch.manual_seed(0)
    assert len({int(sample.gt_label.label) for sample in model(dict(num_batches=30, labels=None))}) > 5


def test_labels_may_come_as_samples():
    model = build()
    given = model(dict(num_batches=3, labels=torch.tensor([5, 6, 7])))
    assert [int(sample.gt_label.label) for sample in model(dict(num_batches=3), given)] == [5, 6, 7]


def test_calls_follow_torchs_random_state_where_no_seed_is_given():
    model, call = build(), dict(num_batches=2, labels=3)
    torch.manual_seed(1)
    first, second = stacked(model(call)), stacked(model(call))
    torch.manual_seed(1)
    assert torch.equal(stacked(model(call)), first) and not torch.equal(first, second)


def test_batch_size_changes_nothing():
    model = build(requests=dict(seed=5))
    whole, parts = (stacked(model(dict(num_batches=5, sample_kwargs=dict(batch_size=size)))) for size in (5, 2))
    assert (whole.int() - parts.int()).abs().max() <= 1


def test_noise_can_be_given():
    model = build(sampler=dict(type='MultistepSampler', indices=(0,)))
    noise = model.noise_fn(num_batches=2)
    samples = model(dict(noise=noise, labels=1))
    assert torch.equal(stacked(samples)[:, :1], model.data_preprocessor.destruct(model.sample(2, 1, latents=noise)))


def test_trained_weights_and_average_are_told_apart():
    model = build(ema_decays=(0.9,))
    with torch.no_grad():
        model.denoiser.backbone.out[2].bias += 1
    call = dict(num_batches=2, labels=1, sample_kwargs=dict(seed=0))
    both = model(dict(call, sample_model='ema/orig'))
    orig, ema = (stacked(model(dict(call, sample_model=name))) for name in ('orig', 'ema'))
    assert torch.equal(torch.stack([sample.orig.fake_img for sample in both]), orig)
    assert torch.equal(torch.stack([sample.ema.fake_img for sample in both]), ema)
    assert not torch.equal(orig, ema)


def test_unconditional_samples_have_no_label():
    model = build(denoiser=dict(type='KarrasDenoiser', backbone=dict(BACKBONE, num_classes=None)))
    assert all('gt_label' not in sample for sample in model(dict(num_batches=2)))
    assert model.infer()[1] == []


def test_infer_draws_the_requests_of_the_model():
    model = build(requests=dict(num_samples=5, batch_size=2, seed=42))
    images, labels = model.infer(3)
    assert images.shape == (5, 8, 8, 1) and images.dtype == np.uint8 and labels.tolist() == [3] * 5
    sampled = model.sample(5, 3, SampleNoise(sample_seeds(5, 42)))
    expected = model.data_preprocessor.destruct(sampled).permute(0, 2, 3, 1).numpy()
    assert np.abs(images.astype(int) - expected).max() <= 1
    assert np.array_equal(model.infer(3)[0], images) and np.array_equal(model.infer()[1], model.infer()[1])


def test_another_noise_generator_draws_what_the_reference_would():
    model = build(
        requests=dict(num_samples=4, batch_size=2, seed=42, noise='DeterministicNoise'),
        sampler=dict(type='MultistepSampler', indices=(0,)),
    )
    images, _ = model.infer(3)
    latents = DeterministicNoise(4, seed=42).randn(4, 1, 8, 8)
    expected = model.data_preprocessor.destruct(model.sample(4, 3, latents=latents)).permute(0, 2, 3, 1).numpy()
    assert np.abs(images.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    'call, expected',
    [
        (dict(num_batches=2, labels=10), 'label 10'),
        (dict(num_batches=2, sample_model='emma'), 'emma'),
        (dict(noise=torch.zeros(2, 3, 8, 8)), 'latents'),
    ],
)
def test_what_cannot_be_drawn(call, expected):
    with pytest.raises(InputError, match=expected):
        build()(call)


def test_unknown_request_is_refused():
    with pytest.raises(InputError, match='num_sample'):
        build(requests=dict(num_sample=3))


@pytest.mark.parametrize(
    'call',
    [
        lambda model: model(dict(num_batches=2, labels=0)),
        lambda model: model.infer(3),
        lambda model: model(torch.zeros(2, 1, 8, 8), [DataSample.of(1), DataSample.of(2)]),
        lambda model: model.predict([DataSample.of(1, sample_seed=0)]),
    ],
)
def test_what_is_not_finite_is_no_answer(call):
    model = build()
    with torch.no_grad():
        model.denoiser.backbone.out[2].bias.fill_(float('nan'))
    with pytest.raises(NotFiniteError):
        call(model)


def test_noise_that_is_not_finite_is_what_the_message_names():
    with pytest.raises(NotFiniteError, match='^latents have to be finite'):
        build()(dict(noise=torch.full((2, 1, 8, 8), float('nan')), labels=0))


def test_seed_of_a_call_may_be_of_any_library_or_one_for_each_image():
    model = build()
    expected = model(dict(num_batches=3, sample_kwargs=dict(seed=5)))
    for seed in (np.int64(5), torch.tensor(5), torch.tensor([15, 16, 17])):
        samples = model(
            dict(
                num_batches=3, sample_kwargs=dict(seed=seed), labels=[int(sample.gt_label.label) for sample in expected]
            )
        )
        assert torch.equal(stacked(samples), stacked(expected))
    seeds = [7, 3, 7]
    labels = [int(sample.gt_label.label) for sample in model(dict(num_batches=3, sample_kwargs=dict(seed=seeds)))]
    assert labels == [
        int(model(dict(num_batches=1, sample_kwargs=dict(seed=seed)))[0].gt_label.label) for seed in seeds
    ]
