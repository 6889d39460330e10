"""Steps of the optimiser and iterations of the runner."""

from mmengine.runner import Runner


def iterations_per_step(runner: Runner) -> int:
    """Return how many iterations accumulate gradients for a step of the optimiser.

    `MicroBatchTrainLoop` makes several backward passes in one.
    """
    return runner.optim_wrapper._accumulative_counts // getattr(runner.train_loop, 'num_parts', 1)
