"""Validations at their place in a resumed run."""

from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from mmcm.engine.loops.sample_val_loop import VALIDATED
from mmcm.registry import HOOKS


@HOOKS.register_module()
class ValidationHook(Hook):
    """Make up for a validation that a killed run has not finished, so that a resumed run has all scores.

    A checkpoint is saved before the validation of its iteration. A run that is resumed from it validates first, unless
    `SampleValLoop` has noted the validation in it: that of a best score is saved again.
    """

    priority = 'LOWEST'  # after everything that prepares a run

    def before_train(self, runner: Runner) -> None:
        """Validate if the run was to do it at this iteration."""
        loop, validation = runner.train_loop, runner.val_loop
        if validation is None or not runner.iter or not isinstance(loop, IterBasedTrainLoop):
            return
        if is_due(loop) and runner.message_hub.runtime_info.get(VALIDATED) != runner.iter:
            validation.run()


def is_due(loop: IterBasedTrainLoop) -> bool:
    """Return whether `loop` validates at its present iteration, as MMEngine decides it."""
    return loop.iter >= loop.val_begin and (loop.iter % loop.val_interval == 0 or loop.iter == loop.max_iters)
