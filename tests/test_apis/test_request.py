from dataclasses import replace

import numpy as np
import pytest
import torch

from mmcm.apis import SampleRequest
from mmcm.apis.request import check_latents, names_of
from mmcm.noise.generators import SampleNoise
from mmcm.utils.errors import InputError


def test_request_has_the_defaults_of_the_model(inferencer):
    request = inferencer.request()
    assert isinstance(request, SampleRequest) and not inferencer.loaded
    assert request.sampler is inferencer.sampler and request.batch_size == inferencer.batch_size
    assert (request.num_images, list(request.seeds), request.clip) == (1, [0], True)
    assert 0 <= request.labels[0] < 10


@pytest.mark.parametrize(
    'arguments, number',
    [
        (dict(), 1),
        (dict(labels='balanced'), 1),
        (dict(labels=['balanced']), 1),
        (dict(labels=[3, 1, 4]), 3),
        (dict(labels=[3], seed=[1, 2]), 2),
        (dict(labels=[3, 1, 4], num_images=5), 5),
        (dict(latents=torch.zeros(4, 1, 8, 8)), 4),
        (dict(generator=[torch.Generator() for _ in range(2)]), 2),
        (dict(default_images=4), 4),
        (dict(labels=[3, 1], default_images=4), 2),
    ],
)
def test_number_of_images_follows_from_the_longest_list(inferencer, arguments, number):
    assert inferencer.request(**arguments).num_images == number


def test_rule_in_a_list_of_one_word_is_a_rule(inferencer):
    assert inferencer.request(12, ['balanced']).labels == [*range(10), 0, 1]
    assert inferencer.request(3, ['random'], 5).labels == inferencer.request(3, seed=5).labels


def test_huge_request_is_checked_at_once(inferencer):
    request = inferencer.request(10**14, 'balanced')
    assert request.num_images == 10**14 and request.classes == 'balanced'
    with pytest.raises(InputError, match='label 10 is out of range'):
        inferencer.request(10**14, [3, 10])


def test_labels_are_resolved_once(inferencer, monkeypatch):
    import mmcm.datasets.labels as labels

    calls, check = [], labels.check_range
    monkeypatch.setattr(labels, 'check_range', lambda *arguments: calls.append(arguments) or check(*arguments))
    assert inferencer(7, [3, 1], batch_size=2).labels == [3, 1, 3, 1, 3, 1, 3]
    assert calls == [([3, 1], 10)]


def test_values_of_numpy_become_plain(inferencer):
    request = inferencer.request(np.int64(2), np.int64(3), np.int64(7), np.int64(1))
    assert [type(value) for value in (request.num_images, request.seed, request.batch_size)] == [int] * 3
    assert request.labels == [3, 3] and type(request.labels[0]) is int


@pytest.mark.parametrize(
    'arguments, match',
    [
        (dict(num_images=0), 'num_images has to be an integer of at least 1'),
        (dict(seed=2**62, num_images=10), 'integer of 64 bits'),
        (dict(seed=[1, 2], num_images=3), 'one seed per image'),
        (dict(num_steps=1, sigmas=[80]), 'num_steps and sigmas both say'),
        (dict(batch_size=0), 'batch_size'),
        (dict(clip='yes'), 'clip has to be True or False'),
        (dict(labels=[1, 2, 3], num_images=2), '3 labels are too many for 2 images'),
        (dict(latents=torch.full((1, 1, 8, 8), torch.nan)), 'latents have to be finite'),
    ],
)
def test_bad_requests_are_refused(inferencer, arguments, match):
    with pytest.raises(InputError, match=match):
        inferencer.request(**arguments)


def test_rows_are_the_images_of_the_whole(inferencer):
    request = inferencer.request(7, seed=3)
    part = request.rows(slice(2, 5))
    assert part.labels == request.labels[2:5] and list(part.seeds) == [23, 24, 25]
    whole = inferencer.sample(request).pixels
    assert (inferencer.sample(part).pixels.int() - whole[2:5].int()).abs().max() <= 1


def test_inputs_of_a_batch_are_labels_noise_and_latents(inferencer):
    latents = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    request = inferencer.request(5, [3, 1], latents=latents)
    labels, noise, start = request.inputs(slice(1, 3))
    assert labels.tolist() == [1, 3] and labels.dtype == torch.int64
    assert torch.equal(start, latents[1:3])
    assert torch.equal(noise.randn(2, 1, 8, 8), SampleNoise([1, 2]).randn(2, 1, 8, 8))
    shares = torch.eye(5, 10)
    labels, *_ = replace(request, classes=None, label_shares=shares).inputs(slice(1, 3))
    assert torch.equal(labels, shares[1:3])


def test_request_of_generators_has_no_seeds(inferencer):
    generator = torch.Generator().manual_seed(4)
    request = inferencer.request(3, generator=generator)
    assert request.seeds is None
    assert request.labels == inferencer.request(3, generator=torch.Generator().manual_seed(4)).labels
    assert inferencer.sample(request).seeds is None


def test_names_are_numbers_where_there_are_none():
    assert names_of([1, 0], (('zero', 'null'), ('one',))) == ['one', 'zero']
    assert names_of([1, 0], ()) == ['1', '0'] and names_of(None, ()) is None


def test_latents_are_tensors_of_the_shape():
    check_latents(None, (1, 1))
    with pytest.raises(InputError, match='have to be a tensor, got list'):
        check_latents([[0.0]], (1, 1))
    with pytest.raises(InputError, match='of shape'):
        check_latents(torch.zeros(1, 2), (1, 1))


def test_former_methods_still_answer(inferencer):
    with pytest.warns(DeprecationWarning, match='choose_seeds'):
        assert list(inferencer.choose_seeds(2, 3)) == [6, 7, 8]
    with pytest.warns(DeprecationWarning, match='choose_labels'):
        assert inferencer.choose_labels([3, 1], 3) == [3, 1, 3]
    with pytest.warns(DeprecationWarning, match='choose_labels'):
        assert inferencer.choose_labels(None, 4, [5, 6, 7, 8]) == inferencer.request(4, seed=[5, 6, 7, 8]).labels
    assert inferencer.choose_sampler(num_steps=1).num_steps == 1
