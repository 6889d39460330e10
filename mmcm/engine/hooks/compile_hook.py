"""Training with compiled networks."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmcm.registry import HOOKS
from mmcm.utils.model_wrappers import unwrapped


@HOOKS.register_module()
class CompileHook(Hook):
    """Compile the networks that a training step calls, with `torch.compile`.

    MMEngine's own `compile=True` compiles the whole `train_step`: also the curriculum, which is another program in
    each step. Networks are compiled in place, so that the names of weights in checkpoints stay what they are.

    Args:
        **options: See `torch.compile`.
    """

    def __init__(self, **options) -> None:
        self.options = options

    def before_train(self, runner: Runner) -> None:
        """Mark the networks; they are compiled when they are first called."""
        # Online and target network, compiled separately, have to drop out the same features: that takes torch's own
        # random numbers, not the compiler's.
        import torch._inductor.config as inductor  # here, since it takes long

        inductor.fallback_random = True
        model = unwrapped(runner.model)
        for name in ('denoiser', 'target', 'teacher'):
            denoiser = getattr(model, name, None)
            if denoiser is not None:
                denoiser.backbone.compile(**self.options)
        runner.logger.info('The networks are compiled in the first iterations, which take longer.')
