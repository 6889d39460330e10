from contextlib import suppress

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner

from support.validations import validated_config

# Runners of the same second in one process share MMEngine's name for them.
pytestmark = pytest.mark.filterwarnings('ignore:.*has been created')


class Killed(Exception):
    pass


class Kill(Hook):
    """End the run in the validation at an iteration."""

    def __init__(self, iteration):
        self.iteration = iteration

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            raise Killed


class Validations(Hook):
    """Note the iteration and the score of each validation."""

    def __init__(self):
        self.found = []

    def after_val_epoch(self, runner, metrics=None):
        self.found.append((runner.iter, metrics['sliced_wasserstein/distance']))


def run(cfg, *hooks):
    runner, noted = Runner.from_cfg(cfg), Validations()
    for hook in (noted, *hooks):
        runner.register_hook(hook)
    with suppress(Killed):
        runner.train()
    return noted.found, runner


@pytest.mark.parametrize('killed_at', [2, 4])
def test_resumed_run_has_the_scores_of_an_uninterrupted_one(tmp_path, killed_at):
    expected, whole = run(validated_config(tmp_path / 'whole'))
    first, _ = run(validated_config(tmp_path / 'killed'), Kill(killed_at))
    rest, runner = run(validated_config(tmp_path / 'killed', resume=True))
    assert first + rest == expected and [iteration for iteration, _ in expected] == [2, 4]
    best = {path.name for path in (tmp_path / 'whole').glob('best_*')}
    assert {path.name for path in (tmp_path / 'killed').glob('best_*')} == best and len(best) == 1
    assert runner.message_hub.get_info('best_score') == whole.message_hub.get_info('best_score')


def test_validation_that_a_checkpoint_has_seen_is_not_repeated(tmp_path):
    run(validated_config(tmp_path, 2))  # the first score is the best so far, so the checkpoint is saved again
    found, _ = run(validated_config(tmp_path, 4, resume=True))
    assert [iteration for iteration, _ in found] == [4]


def test_validation_is_not_due_between_intervals(tmp_path):
    cfg = validated_config(tmp_path, 4, interval=3)
    run(cfg, Kill(3))
    found, _ = run(validated_config(tmp_path, 4, interval=3, resume=True))  # from iteration 2
    assert [iteration for iteration, _ in found] == [3, 4]
