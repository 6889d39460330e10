"""Checks of the data before the first step."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from mmcm.checkpoints.trusted_config import CLASS_NAMES
from mmcm.datasets.class_names import class_names, own_names
from mmcm.datasets.image_dataset import classes_without_images
from mmcm.engine.steps import iterations_per_step
from mmcm.models.consistency_model import ConsistencyModel
from mmcm.registry import HOOKS
from mmcm.utils.errors import InputError
from mmcm.utils.mmengine_compat import built_loops
from mmcm.utils.model_wrappers import unwrapped
from mmcm.utils.random_state import undisturbed

NUM_LOOKED_AT = 32  # images that are read for the number of transparent ones
NUM_LISTED = 10  # names of classes in an error


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Raise an InputError before the first step if data set, batches and model do not fit.

    It reads one image, for the shape, and checks the `labels` of a data set that has them; other data sets are checked
    by the first step. Named classes have to be as many as those of the model; their names become `class_names` of the
    config, and so are in each checkpoint. It logs classes without images, and how many of up to `NUM_LOOKED_AT` images
    are transparent.
    """

    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Give the model the names of its classes, before it starts from the weights of another one."""
        loop, model = built_loops(runner).get('train_dataloader'), unwrapped(runner.model)
        if loop is not None and isinstance(model, ConsistencyModel):
            names = own_names((getattr(loop.dataloader.dataset, 'metainfo', None) or {}).get('classes') or ())
            given = runner.cfg.get('class_names')
            model.class_names = class_names(names) if names else () if given is None else class_names(given)

    def before_train(self, runner: Runner) -> None:
        """Check; raise an InputError."""
        loader = runner.train_dataloader
        counts = iterations_per_step(runner)
        check_accumulation(runner, counts)
        if loader.batch_size is not None:  # a batch sampler may take any number
            check_size(len(loader.dataset), loader.batch_size, get_world_size(), counts)
        model = unwrapped(runner.model)
        if hasattr(loader.dataset, 'labels'):
            check_labels(loader.dataset.labels, model)
            look_for_empty_classes(runner, loader.dataset, model)
        note_class_names(runner.cfg, own_names(getattr(loader.dataset, 'metainfo', {}).get('classes') or ()), model)
        with undisturbed():  # transforms may be random
            check_shape(loader.dataset[0], model)
            composited = look_for_transparency(loader.dataset)
        if composited:
            runner.logger.info(composited)


def check_size(num_images: int, batch_size: int, num_processes: int, counts: int) -> None:
    """Raise an InputError if `num_images` is too small for a step of the optimiser."""
    needed = batch_size * num_processes * counts
    if num_images < needed:
        factors = [f'batch_size {batch_size}'] + [
            f'{number} {what}'
            for number, what in ((num_processes, 'processes'), (counts, 'accumulated batches'))
            if number > 1
        ]
        raise InputError(
            f'the data set has {num_images} images, fewer than one batch of {needed} '
            f'({" x ".join(factors)}): set train_dataloader.batch_size to at most '
            f'{max(num_images // (num_processes * counts), 1)}, or take more images.'
        )


def check_shape(sample: object, model: nn.Module) -> None:
    """Raise an InputError if the image of `sample`, `inputs` (C, H, W), is no image for `model`."""
    expected = getattr(model, 'image_shape', None)
    image = sample.get('inputs') if isinstance(sample, dict) else None
    if expected is None or not isinstance(image, Tensor) or tuple(image.shape) == tuple(expected):
        return
    (channels, height, width), (_, expected_height, expected_width) = image.shape, expected
    raise InputError(
        f'the images of the data set have {width} x {height} pixels of {channels} channels, those of the '
        f'model {expected_width} x {expected_height} of {expected[0]}: crop or scale them in the '
        'pipeline, or set image_size, in_channels and out_channels of model.denoiser.backbone.'
    )


def check_accumulation(runner: Runner, counts: int) -> None:
    """Raise an InputError if the run or a checkpoint would end between two steps of the optimiser."""
    lengths = {'train_cfg.max_iters': runner.max_iters}
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and not hook.by_epoch and hook.interval > 0:
            lengths['the interval of checkpoints'] = hook.interval
    for name, length in lengths.items():
        if length % counts:
            raise InputError(
                f'{name}, {length}, is no multiple of optim_wrapper.accumulative_counts, {counts}: the '
                f'gradients of {length % counts} iterations would be lost there. Take '
                f'{-(-length // counts) * counts}, or --micro-batch, which changes no iteration.'
            )


def look_for_transparency(dataset: Any) -> str | None:
    """Return how many of some evenly spread images of `dataset` are transparent, in words; None if none is.

    Raises:
        InputError: If one of them cannot be read, which would end the training later.
    """
    if getattr(dataset, 'transparency', None) is None:
        return None
    for position in np.unique(np.linspace(0, dataset.num_images - 1, NUM_LOOKED_AT).astype(int)):
        dataset[int(position)]
    return dataset.transparency.described()


def look_for_empty_classes(runner: Runner, dataset: Any, model: nn.Module) -> None:
    """Log which classes of a conditional `model` no image of `dataset` has."""
    num_classes = getattr(model, 'num_classes', None)
    if num_classes is None or dataset.labels is None:
        return
    names = list((getattr(dataset, 'metainfo', None) or {}).get('classes') or ())
    names += [str(label) for label in range(len(names), num_classes)]
    empty = classes_without_images(np.asarray(dataset.labels), names)
    if empty:
        runner.logger.warning(empty)


def note_class_names(config: dict, names: Sequence[str], model: nn.Module) -> None:
    """Set `class_names` of `config` to the `names` of the classes of the data.

    A list of names in the config is kept. The name of a list ('imagenet1k') is kept if the data have no names,
    WordNet's numbers (n01440764) or names of that list: else a recipe is used for other data.

    Raises:
        InputError: If there are not as many names as classes of a conditional `model`.
    """
    num_classes = getattr(model, 'num_classes', None)
    if num_classes is None:
        return
    CLASS_NAMES.check('the names of the classes of the data', list(names))  # or no reader takes the checkpoint
    if names and len(names) != num_classes:
        listed = ', '.join(names) if len(names) <= NUM_LISTED else f'{", ".join(names[:NUM_LISTED])}, ...'
        raise InputError(
            f'the data set has {len(names)} classes ({listed}) and the model {num_classes}: set '
            f'model.denoiser.backbone.num_classes={len(names)}, or train on images of all classes.'
        )
    given = config.get('class_names')
    if names and not are_named_by(names, given):
        config['class_names'] = list(names)
    elif given is not None and len(class_names(given)) != num_classes:
        raise InputError(
            f'class_names has {len(class_names(given))} names and the model {num_classes} classes: set '
            f'model.denoiser.backbone.num_classes={len(class_names(given))}, or class_names=None.'
        )


def are_named_by(names: Sequence[str], given: str | Sequence[str] | None) -> bool:
    """Return whether `names`, of the classes of the data, are those of `class_names=given` in a config."""
    if not isinstance(given, str):
        return given is not None
    known = {other.lower() for others in class_names(given) for other in others}
    return all(re.fullmatch(r'n\d{8}', name) or name.lower() in known for name in names)


def check_labels(labels: Sequence[int] | None, model: nn.Module) -> None:
    """Raise an InputError if there are `labels` that `model` has no class for, or none where it needs them."""
    num_classes = getattr(model, 'num_classes', None)
    if num_classes is None:
        return
    if labels is None:
        raise InputError(
            f'the model has {num_classes} classes, but the images have no label: label the data set, or '
            'set model.denoiser.backbone.num_classes=None.'
        )
    values = np.asarray(labels)
    wrong = np.flatnonzero((values < 0) | (values >= num_classes))
    if len(wrong):
        raise InputError(
            f'{len(wrong)} of {len(values)} images have a label that the model has no class for, the first of them '
            f'image {wrong[0]} with {values[wrong[0]]}; the model knows the classes 0 to {num_classes - 1}. Set '
            f'model.denoiser.backbone.num_classes={values.max() + 1}, or correct the labels.'
        )
