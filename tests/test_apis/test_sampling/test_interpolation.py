import math

import pytest
import torch

from mmcm.apis.sampling.interpolation import interpolate, slerp
from mmcm.noise.generators import SampleNoise
from mmcm.samplers import MultistepSampler
from mmcm.utils.errors import InputError


def test_arc_has_equal_steps_and_the_length_of_its_ends():
    start, end = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    points = slerp(start, end, torch.tensor([0, 1 / 3, 2 / 3, 1]))
    expected = [[2 * math.cos(angle), 2 * math.sin(angle)] for angle in (0, math.pi / 6, math.pi / 3, math.pi / 2)]
    torch.testing.assert_close(points, torch.tensor(expected))


def test_equal_ends_stay_where_they_are():
    same = torch.randn(1, 3, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(slerp(same, same, torch.linspace(0, 1, 3)), same.expand(3, 3, 2))


@pytest.mark.parametrize('levels', [(80.0,), (80.0, 2.0)])
def test_ends_are_what_the_model_draws_from_their_seeds(inferencer, levels):
    sampler = MultistepSampler(sigmas=levels)
    drawing = interpolate(inferencer, (5, 9), (3, 8), 4, sampler)
    first, last = (inferencer(1, label, [seed], sigmas=levels).pixels for label, seed in ((3, 5), (8, 9)))
    assert drawing.pixels.shape == (4, 1, 8, 8) and len(drawing.images) == 4
    assert (drawing.pixels[0].int() - first[0].int()).abs().max() <= 1
    if len(levels) == 1:  # of several steps, the noise added later is that of the first seed
        assert (drawing.pixels[-1].int() - last[0].int()).abs().max() <= 1
    assert len(drawing.pixels.unique(dim=0)) == 4


def test_picture_halfway_has_the_mean_of_both_noises_and_of_both_labels(inferencer):
    """The mean of two embeddings is that of a class which takes the place of the first."""
    sampler = MultistepSampler(sigmas=(80.0,))
    noises = [SampleNoise([seed]).randn(1, 1, 8, 8) for seed in (5, 9)]
    angle = torch.cosine_similarity(*(noise.double().flatten(1) for noise in noises)).arccos()
    halfway = (sum(noises) / (2 * (angle / 2).cos())).float()  # as long as the two, between them
    middle = interpolate(inferencer, (5, 9), (3, 8), 3, sampler).pixels[1]
    weights = inferencer.model.inference_denoiser.backbone.label_emb.weight
    with torch.no_grad():
        weights[3] = (weights[3] + weights[8]) / 2
    expected = inferencer(1, 3, latents=halfway, sigmas=(80.0,)).pixels[0]
    assert (middle.int() - expected.int()).abs().max() <= 1
    assert (interpolate(inferencer, (5, 9), 8, 3, sampler).pixels[1].int() - expected.int()).abs().max() > 1


def test_one_label_is_for_all_and_the_default_is_one(inferencer):
    assert torch.equal(interpolate(inferencer, labels=3).pixels, interpolate(inferencer, labels=[3, 3]).pixels)
    assert interpolate(inferencer, seeds=(1, 1)).pixels.unique(dim=0).shape[0] == 1


def test_callback_hears_of_each_step_of_each_batch(inferencer, monkeypatch):
    monkeypatch.setattr(type(inferencer), 'batch_size', 2)
    heard = []
    drawing = interpolate(
        inferencer,
        labels=3,
        num_images=3,
        sampler=MultistepSampler(sigmas=(80.0, 2.0)),
        callback=lambda step, sigma, x, x0: heard.append((step, sigma, x0)),
    )
    assert [(step, sigma, len(x0)) for step, sigma, x0 in heard] == [
        (0, 80.0, 2),
        (1, 2.0, 2),
        (0, 80.0, 1),
        (1, 2.0, 1),
    ]
    last = torch.cat([x0 for step, _, x0 in heard if step == 1])
    assert torch.equal(inferencer.model.data_preprocessor.destruct(last), drawing.pixels)


@pytest.mark.parametrize(
    'arguments, match',
    [
        (dict(seeds=(1, 2, 3)), 'two seeds'),
        (dict(seeds=1), 'seeds has to be a list'),
        (dict(num_images=1), 'at least 2'),
        (dict(labels=[1, 2, 3]), '3 labels'),
        (dict(labels=11), 'out of range'),
    ],
)
def test_bad_requests_are_refused(inferencer, arguments, match):
    with pytest.raises(InputError, match=match):
        interpolate(inferencer, **arguments)
