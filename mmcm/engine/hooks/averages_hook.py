"""Curriculum and averages, around the optimiser's step."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmcm.engine.resuming.loaded_checkpoint import fit_checkpoint
from mmcm.engine.resuming.resumed_settings import Settings
from mmcm.engine.steps import images_per_step, iterations_per_step
from mmcm.models.training_rules import needs_normalized_weights
from mmcm.registry import HOOKS
from mmcm.utils.errors import InputError
from mmcm.utils.mmengine_compat import CountedByDeepSpeed, resume_option
from mmcm.utils.model_wrappers import unwrapped


@HOOKS.register_module()
class AveragesHook(Hook):
    """Begin each training step of the model, and update the target and the averages after it.

    A training step is a step of the optimiser, however many backward passes accumulate gradients for it. The averages
    are part of the model, and so of its checkpoints; the step is derived from the iteration, and needs no state.
    """

    # Before the checkpoint is saved and before samples are generated after the same iteration.
    priority = 'ABOVE_NORMAL'

    def __init__(self) -> None:
        self.settings: Settings | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Initialise the target and the averages that a loaded checkpoint lacks; see `fit_checkpoint`."""
        fit_checkpoint(runner, checkpoint)
        if resume_option(runner):
            self.settings = Settings.of(runner, checkpoint)

    def before_train(self, runner: Runner) -> None:
        """Give a resumed run the settings of its config, where the checkpoint had others; see `Settings`.

        Raises:
            InputError: If what `begin_step` writes to the weights would be lost.
        """
        if isinstance(runner.optim_wrapper, CountedByDeepSpeed) and needs_normalized_weights(
            unwrapped(runner.model).denoiser
        ):
            raise InputError(
                'the network has its weights normalised in place before each step, and DeepSpeed would replace them by '
                'its own copy, so it cannot be trained with DeepSpeed: train with DDP.'
            )
        if self.settings is not None:
            self.settings.restore(runner)
            self.settings = None

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Begin the training step, with the first batch whose gradients it accumulates."""
        batches = iterations_per_step(runner)
        model = unwrapped(runner.model)
        if (runner.iter % batches == 0 or model.step is None) and model.begin_step(runner.iter // batches):
            runner.optim_wrapper.optimizer.state.clear()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Update the averages, if the optimiser has made a step."""
        if runner.optim_wrapper.should_update():
            unwrapped(runner.model).update_averages(images_per_step(runner, data_batch))
