"""Iterations and images per step of the optimiser."""

from mmengine.dist import get_world_size
from mmengine.runner import FlexibleRunner, Runner

from mmcm.utils.mmengine_compat import accumulative_counts


def iterations_per_step(runner: Runner | FlexibleRunner) -> int:
    """Return how many iterations accumulate gradients for a step of the optimiser.

    `MicroBatchTrainLoop` makes several backward passes in one.
    """
    return accumulative_counts(runner.optim_wrapper) // getattr(runner.train_loop, 'num_parts', 1)


def images_per_step(runner: Runner | FlexibleRunner, data_batch: dict | None) -> int | None:
    """Return how many images of all processes a step of the optimiser sees; None without a batch to count."""
    if data_batch is None:
        return None
    return len(data_batch['inputs']) * get_world_size() * iterations_per_step(runner)
