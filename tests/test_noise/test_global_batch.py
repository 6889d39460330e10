import pytest
import torch

from mmcm.noise import LossSecondMomentLevels, UniformIndices, UniformLevels, draw_for_batch, global_batch

WORLD_SIZE, BATCH_SIZE = 3, 4


@pytest.fixture
def as_rank(monkeypatch):
    def become(rank, world_size):
        monkeypatch.setattr(global_batch, 'get_rank', lambda: rank)
        monkeypatch.setattr(global_batch, 'get_world_size', lambda: world_size)
        torch.manual_seed(0)

    return become


def by_indices(num):
    return UniformIndices()(torch.arange(100), num)


@pytest.mark.parametrize(
    'draw_levels', [UniformLevels(), LossSecondMomentLevels(), by_indices], ids=['uniform', 'second_moment', 'indices']
)
def test_rows_of_all_processes_are_the_draw_of_one(as_rank, draw_levels):
    """Image j of process r is image j W + r of the global batch, as MMEngine's samplers deal them."""
    as_rank(0, 1)
    levels, noise = draw_for_batch(draw_levels, torch.zeros(WORLD_SIZE * BATCH_SIZE, 3, 2, 5))
    for rank in range(WORLD_SIZE):
        as_rank(rank, WORLD_SIZE)
        own_levels, own_noise = draw_for_batch(draw_levels, torch.zeros(BATCH_SIZE, 3, 2, 5))
        for row in range(BATCH_SIZE):
            assert own_levels[row] == levels[row * WORLD_SIZE + rank]
            assert torch.equal(own_noise[row], noise[row * WORLD_SIZE + rank])


def test_noise_is_like_the_images(as_rank):
    for world_size in (1, WORLD_SIZE):
        as_rank(0, world_size)
        _, noise = draw_for_batch(UniformLevels(), torch.zeros(2, 1, 4, 4, dtype=torch.float64))
        assert noise.shape == (2, 1, 4, 4) and noise.dtype == torch.float64 and noise.is_contiguous()


def test_dropout_differs_among_processes_afterwards_and_is_reproducible(as_rank):
    def after(rank):
        as_rank(rank, WORLD_SIZE)
        draw_for_batch(UniformLevels(), torch.zeros(BATCH_SIZE, 1, 2, 2))
        return torch.rand(1).item()

    draws = [after(rank) for rank in range(WORLD_SIZE)]
    assert len(set(draws)) == WORLD_SIZE
    assert draws == [after(rank) for rank in range(WORLD_SIZE)]


def test_generator_of_a_single_process_goes_on_as_it_was(as_rank):
    as_rank(0, 1)
    draw_for_batch(torch.rand, torch.zeros(2, 1, 2, 2))
    drawn = torch.rand(1)
    torch.manual_seed(0)
    torch.rand(2), torch.randn(2, 1, 2, 2)
    assert torch.equal(drawn, torch.rand(1))
