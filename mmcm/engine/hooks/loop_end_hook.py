"""Check before a run that its loops end."""

from mmengine.hooks import Hook
from mmengine.runner import FlexibleRunner, Runner

from mmcm.engine.loops import check_loops
from mmcm.registry import HOOKS


@HOOKS.register_module()
class LoopEndHook(Hook):
    """Refuse a loop over epochs, a validation or a test whose sampler has no end, before weights are loaded.

    The commands add it to each run; see `check_loops`.
    """

    priority = 'HIGHEST'

    @classmethod
    def add_to(cls, runner: Runner | FlexibleRunner) -> None:
        """Register the hook, unless the config did."""
        if not any(isinstance(hook, cls) for hook in runner.hooks):
            runner.register_hook(cls(), priority=cls.priority)

    def before_run(self, runner: Runner | FlexibleRunner) -> None:
        """Check the loops that this run has built."""
        check_loops(runner)
