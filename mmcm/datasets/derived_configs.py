"""Configs that follow from that of the training data: without mirror images, and of the held-out images."""

from inspect import signature
from typing import Any

from mmengine.config import Config

from mmcm.registry import DATASETS
from mmcm.utils.errors import InputError

MIRRORING = ('RandomFlip',)  # transforms of a training pipeline that are left out
TRAINED_ON = 'train'  # the split that every data set with several calls so


def unmirrored(config: dict) -> dict:
    """Return the `config` of a data set without mirroring; raise an InputError if its pipeline is not valid."""
    config = Config(dict(config)).to_dict()
    check_pipeline(config.get('pipeline'))
    if config.get('flip'):
        config['flip'] = False
    if config.get('pipeline'):
        config['pipeline'] = [
            transform for transform in config['pipeline'] if str(transform['type']).split('.')[-1] not in MIRRORING
        ]
    if isinstance(config.get('dataset'), dict):  # of ImageSplit
        config['dataset'] = unmirrored(config['dataset'])
    return config


def check_pipeline(pipeline: Any) -> None:
    """Raise an InputError unless `pipeline` is a list of the configs of transforms, or None."""
    if pipeline is not None and (
        not isinstance(pipeline, (list, tuple))
        or not all(isinstance(transform, dict) and 'type' in transform for transform in pipeline)
    ):
        raise InputError(
            f"pipeline has to be a list of transforms, such as [dict(type='PackImage')], got {pipeline!r}."
        )


def held_out(config: dict) -> dict:
    """Return the config of the images that a training on the data set of `config` holds out, without mirror images.

    Raises:
        InputError: If it holds out none.
    """
    kind = DATASETS.get(config['type']) if isinstance(config['type'], str) else config['type']
    other = getattr(kind, 'held_out_split', None)
    if other is None:
        raise InputError(
            f'{config["type"]} has no images that are held out of the training. Hold some out: '
            "train_dataloader.dataset=dict(type='ImageSplit', dataset=dict(...)) around the data set. Or measure the "
            "distance to the training images: val_evaluator.reference='train'."
        )
    assert kind is not None
    split = config.get('split', signature(kind).parameters['split'].default)
    if split != TRAINED_ON:
        raise InputError(
            f'{config["type"]} with split={split!r} holds no images out of the training: set '
            f"train_dataloader.dataset.split='{TRAINED_ON}', or measure the distance to the training images: "
            "val_evaluator.reference='train'."
        )
    return {**unmirrored(config), 'split': other}
