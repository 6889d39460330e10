"""Resume the data of a run at their place."""

from itertools import chain, repeat

from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from mmcm.datasets.samplers.resumable_sampler import ResumableSampler
from mmcm.registry import HOOKS


@HOOKS.register_module()
class ResumeDataHook(Hook):
    """Start the loader of a resumed run at its place, instead of reading all images before it once more.

    MMEngine's loop takes one batch from the loader for every iteration before. With a `ResumableSampler` it gets None
    for these, at no cost, and then the batches of a loader that begins at the right image. (Workers begin with the
    first batches before the checkpoint is read; these few are dropped.) Other samplers begin only at the first image,
    and the log reports how many images are read again.

    The images are those of an undisturbed run. Random numbers of transforms in workers are not: they begin anew.
    """

    def before_train(self, runner: Runner) -> None:
        """Set the start of the loader, if the run is resumed."""
        loop, loader = runner.train_loop, runner.train_dataloader
        if not runner.iter or not isinstance(loop, IterBasedTrainLoop):  # a run over epochs goes on with a whole one
            return
        if not isinstance(loader.sampler, ResumableSampler) or loader.batch_size is None:
            runner.logger.warning(
                f'All images of the {runner.iter} iterations so far are read once more, since '
                f'{type(loader.sampler).__name__} begins at the first. To go on at once, take '
                "train_dataloader.sampler.type='ResumableSampler', which has the order of InfiniteSampler."
            )
            return
        loader.sampler.start = runner.iter * loader.batch_size
        loop.dataloader_iterator = None  # ends its workers, unless they are persistent
        loop.dataloader_iterator = chain(repeat(None, runner.iter), iter(loader))
        runner.logger.info(f'The data go on at image {loader.sampler.start} of this process; none before it is read.')
