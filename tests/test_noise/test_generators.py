import numpy as np
import pytest
import torch

from mmcm.noise import DeterministicNoise, PerSampleNoise, SampleNoise, SharedNoise
from mmcm.noise.generators import RequestNoise, forked_seed, sample_seeds
from mmcm.utils.errors import InputError
from support.parity import NORMAL_ULPS, Fixture, close

SIZE = (4, 3, 8, 8)
KINDS = dict(determ=DeterministicNoise, determ_indiv=PerSampleNoise)
CASES = [(kind, seed, rank, world) for kind in KINDS for seed in (0, 42) for rank, world in ((0, 1), (0, 2), (1, 2))]


def same_draw(actual, expected):
    """Assert equality of integers, and of normal noise up to the logarithm and the cosine of each kind of processor."""
    if actual.is_floating_point():
        close(actual, expected, NORMAL_ULPS, scale=1)
    else:
        assert torch.equal(actual, expected)


@pytest.mark.parametrize('kind, seed, rank, world_size', CASES)
def test_draws_are_the_references(kind, seed, rank, world_size):
    fixture = Fixture('generators')
    case = f'{kind}_seed{seed}_rank{rank}of{world_size}'

    def fresh():
        return KINDS[kind](fixture.meta['num_samples'], seed, rank, world_size)

    noise = fresh()
    draws = dict(first=noise.randn(*SIZE), second=noise.randn(*SIZE))
    noise.set_done_samples(fixture.meta['done_second'])
    draws.update(after_done_first=noise.randn(*SIZE), after_done_second=noise.randn(*SIZE))
    draws.update(after_done_randint=noise.randint(0, 1000, (4,)))
    draws.update(after_done_randn_like=noise.randn_like(torch.zeros(SIZE)))
    noise.set_done_samples(fixture.meta['done_clamped'])
    draws.update(clamped=noise.randn(*SIZE), randint_fresh=fresh().randint(0, 1000, (4,)))
    for name, draw in draws.items():
        same_draw(draw, fixture(case, name))


@pytest.mark.parametrize('seed', [0, 42])
def test_shared_draws_are_the_references(seed):
    fixture = Fixture('generators')
    torch.manual_seed(seed)
    noise = SharedNoise()
    same_draw(noise.randn(*SIZE), fixture(f'dummy_seed{seed}', 'first'))
    same_draw(noise.randn_like(torch.zeros(SIZE)), fixture(f'dummy_seed{seed}', 'second'))
    assert torch.equal(noise.randint(0, 1000, (4,)), fixture(f'dummy_seed{seed}', 'randint'))


def test_sample_sees_the_same_noise_in_any_batch():
    together = SampleNoise([5, 6, 7])
    alone = SampleNoise([6])
    for _ in range(2):
        assert torch.equal(together.randn(3, 2, 4)[1:2], alone.randn(1, 2, 4))
    assert torch.equal(together.randint(0, 100, (3, 5))[1:2], alone.randint(0, 100, (1, 5)))


def test_run_sees_the_same_noise_in_batches_of_any_size():
    whole = PerSampleNoise(6, seed=3).randn(6, 2, 4)
    noise = PerSampleNoise(6, seed=3)
    parts = []
    for done, batch in ((0, 4), (4, 2)):
        noise.set_done_samples(done)
        parts.append(noise.randn(batch, 2, 4))
    assert torch.equal(torch.cat(parts), whole)


def test_run_sees_the_same_noise_on_any_number_of_processes():
    whole = PerSampleNoise(6, seed=3).randn(6, 2, 4)
    for rank in range(3):
        assert torch.equal(PerSampleNoise(6, 3, rank, world_size=3).randn(2, 2, 4), whole[rank::3])


def test_run_gives_sample_i_of_n_the_seed_i_plus_n_times_its_own():
    expected = SampleNoise([12, 13, 14, 15]).randn(4, 2, 4)
    assert torch.equal(PerSampleNoise(4, seed=3).randn(4, 2, 4), expected)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('noise', [SampleNoise([1, 2]), PerSampleNoise(2), DeterministicNoise(2), SharedNoise()])
def test_noise_has_the_shape_and_dtype_of_its_model(noise, dtype):
    x = torch.zeros(2, 3, 4, dtype=dtype)
    draw = noise.randn_like(x)
    assert draw.shape == x.shape and draw.dtype == dtype


def test_number_of_seeds_has_to_fit():
    with pytest.raises(InputError, match='2 samples was asked of 3 seeds'):
        SampleNoise([1, 2, 3]).randn(2, 4)


@pytest.mark.parametrize('kind', KINDS.values())
def test_empty_run_is_refused(kind):
    with pytest.raises(InputError, match='got 0'):
        kind(0)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    'make',
    [
        lambda: SampleNoise([3, 4]),
        lambda: DeterministicNoise(2, 3),
        lambda: PerSampleNoise(2, 3),
        lambda: RequestNoise(torch.Generator().manual_seed(3), 2).rows(slice(0, 2)),
    ],
)
def test_noise_does_not_depend_on_the_default_dtype(make, dtype):
    expected = make().randn(2, 3, 8, 8)
    torch.set_default_dtype(dtype)
    try:
        drawn = make().randn(2, 3, 8, 8)
    finally:
        torch.set_default_dtype(torch.float32)
    assert drawn.dtype == torch.float32 and torch.equal(drawn, expected)


def test_seed_of_a_generator_follows_its_state_which_stays_what_it_is():
    generator = torch.Generator().manual_seed(5)
    seeds = []
    for _ in range(2):
        state = generator.get_state()
        seeds += [forked_seed(generator), forked_seed(generator)]
        assert torch.equal(generator.get_state(), state)
        torch.rand(1, generator=generator)
    assert seeds[0] == seeds[1] != seeds[2] == seeds[3]


@pytest.mark.parametrize(
    'seed, expected',
    [
        (5, range(15, 18)),
        (torch.tensor(5), range(15, 18)),
        (np.uint8(5), range(15, 18)),
        ([9, 2, 9], [9, 2, 9]),
        (torch.tensor([9, 2, 9]), [9, 2, 9]),
        (np.array([9, 2, 9]), [9, 2, 9]),
        (range(3), [0, 1, 2]),
    ],
)
def test_seeds_are_integers_of_any_library(seed, expected):
    assert sample_seeds(3, seed) == expected


@pytest.mark.parametrize(
    'seed', [[1, 2], [1, 2, 3.5], torch.tensor([1.0, 2.0, 3.0]), torch.tensor(1.0), '5', 2**64, None]
)
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(InputError, match='seed'):
        sample_seeds(3, seed)
