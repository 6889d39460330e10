import mmengine.hooks.iter_timer_hook as theirs
import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner

import mmcm.engine.hooks.remaining_time_hook as ours
from support.validations import validated_config, without_validation

# Runners of the same second in one process share MMEngine's name for them.
pytestmark = pytest.mark.filterwarnings('ignore:.*has been created')


class Clock:
    """A clock that stands still unless it is moved."""

    def __init__(self):
        self.now = 1000.0

    def time(self):
        return self.now

    monotonic = time


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for each in (ours, theirs):
        monkeypatch.setattr(each, 'time', clock)
    return clock


def run(cfg, clock, iteration=2.0, validation=10.0):
    """Train; return the ETA after each iteration, and the time of each."""

    class Pass(Hook):
        priority = 'VERY_HIGH'

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            clock.now += iteration

        def before_val_epoch(self, runner):
            clock.now += validation

    class Note(Hook):
        priority = 'LOWEST'

        def __init__(self):
            self.found, self.times = [], []

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            self.found.append(runner.message_hub.get_info('eta'))
            self.times.append(runner.message_hub.get_scalar('train/time').current())

    note = Note()
    cfg.default_hooks.timer = dict(type='RemainingTimeHook')
    runner = Runner.from_cfg(cfg)
    runner.register_hook(Pass())
    runner.register_hook(note)
    runner.train()
    return note.found, note.times


def test_time_that_remains_is_that_of_the_iterations(tmp_path, clock):
    found, _ = run(without_validation(validated_config(tmp_path)), clock)
    assert found == pytest.approx([6.0, 4.0, 2.0, 0.0])


def test_time_that_remains_includes_validations_and_iterations_do_not(tmp_path, clock):
    found, times = run(validated_config(tmp_path, 6), clock)
    # After 3 iterations, 3 * 2 s and a validation of 10 s have passed.
    assert found == pytest.approx([10.0, 8.0, 16 / 3 * 3, 18 / 4 * 2, 30 / 5, 0.0])
    assert times == pytest.approx([2.0] * 6)


def test_resumed_run_counts_its_own_time_alone(tmp_path, clock):
    run(without_validation(validated_config(tmp_path, 2)), clock, iteration=50.0)
    found, _ = run(without_validation(validated_config(tmp_path, 4, resume=True)), clock)
    assert found == pytest.approx([2.0, 0.0])
