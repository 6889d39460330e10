"""Iterations of the runner per step of the optimiser."""

from mmengine.runner import FlexibleRunner, Runner

from mmcm.utils.mmengine_compat import accumulative_counts


def iterations_per_step(runner: Runner | FlexibleRunner) -> int:
    """Return how many iterations accumulate gradients for a step of the optimiser.

    `MicroBatchTrainLoop` makes several backward passes in one.
    """
    return accumulative_counts(runner.optim_wrapper) // getattr(runner.train_loop, 'num_parts', 1)
