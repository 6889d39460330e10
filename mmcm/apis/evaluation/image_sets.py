"""Measuring existing images, of any origin, by the metrics of a config."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from mmengine.dist import init_dist, is_distributed, is_main_process
from mmengine.evaluator import Evaluator
from torch.utils.data import DataLoader, Dataset

from mmcm.apis.data.resolve_dataset import images_config, on_background
from mmcm.apis.evaluation.scores import Score
from mmcm.apis.evaluation.tester import (
    build_evaluator,
    check_ahead,
    check_collecting,
    evaluator_config,
    fingerprints_of,
    titles_of,
)
from mmcm.datasets.image_dataset import ImageDataset
from mmcm.datasets.samplers import WholeBatches
from mmcm.evaluation.metrics import LabelAccuracy
from mmcm.registry import DATASETS, MODELS
from mmcm.renamed import old_names
from mmcm.structures import DataSample
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import height_and_width
from mmcm.utils.images import shape_in_words

__getattr__ = old_names(__name__)
BATCH_SIZE = 100  # if the config names none


class ImageSetSamples(Dataset):
    """Images in the form of generated ones: `DataSample` with `sample_idx`, `fake_img` and, if known, `gt_label`.

    Args:
        images (ImageDataset): The images.
        shape (tuple[int, int, int], optional): Required channels, height and width. RGB images of equal channels count
            as grey if one channel is required.
        num_classes (int, optional): Labels have to be below this number.

    Raises:
        InputError: If a label is not, or, when it is read, an image has another shape.
    """

    def __init__(self, images: ImageDataset, shape: tuple[int, int, int] | None, num_classes: int | None) -> None:
        self.images = images
        self.shape = shape
        labels = images.labels
        if labels is not None and num_classes is not None and (labels >= num_classes).any():
            first = int((labels >= num_classes).argmax())
            raise InputError(
                f'{images.source_of(first)} has label {labels[first]}, and the config has '
                f'{num_classes} classes, from 0.'
            )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> DataSample:
        """Return image `index`."""
        sample = self.images[index]
        pixels = sample['inputs']
        if self.shape and self.shape[0] == 1 and len(pixels) == 3 and torch.equal(pixels[:1].expand_as(pixels), pixels):
            pixels = pixels[:1]
        if self.shape and tuple(pixels.shape) != self.shape:
            raise InputError(
                f'{self.images.source_of(index)} has {shape_in_words(pixels.shape)}, and those of the config '
                f'have {shape_in_words(self.shape)}: choose the config that belongs to the images.'
            )
        return DataSample.of(label=sample['gt_label'], sample_idx=index, fake_img=pixels)


def image_set_config(source: str | Path) -> dict:
    """Return the config of the images of an npz file, a zip file or a folder, with labels where it has any.

    Raises:
        InputError: If there are none.
    """
    path = Path(source).expanduser()
    # Folder names are no labels here: their numbering is not that of the config.
    config = images_config(path, by_subfolder=False)
    if config is None:
        raise InputError(f'{path} is neither a folder, an .npz nor a .zip: name images to measure.')
    return config


def measure_image_sets(config: Config, sources: Sequence[str | Path], background: str | None = None) -> list[Score]:
    """Measure the images of each of `sources` by the `test_evaluator` of `config`, in all processes together.

    Metrics of labels are left out for images without labels. Transparent image files are composited on `background`,
    white by default; see ImageFiles.

    Raises:
        InputError: If the config has no metrics, or images do not fit it.
    """
    if config.get('test_evaluator') is None:
        raise InputError('the config does not say what to measure: it has no test_evaluator.')
    batch_size = (config.get('test_dataloader') or {}).get('batch_size', BATCH_SIZE)
    check_count('test_dataloader.batch_size', batch_size)
    backbone = config.model.get('denoiser', {}).get('backbone', {})
    shape = None
    if 'image_size' in backbone:
        shape = (backbone.get('in_channels', 3), *height_and_width(backbone.image_size, 'image_size'))
        if config.model.get('autoencoder'):
            shape = MODELS.build(config.model.autoencoder).image_shape(shape)
    if config.launcher != 'none' and not is_distributed():
        init_dist(config.launcher, **config.get('env_cfg', {}).get('dist_cfg', {}))
    configs = on_background([image_set_config(source) for source in sources], background)
    sets = [ImageSetSamples(DATASETS.build(source), shape, backbone.get('num_classes')) for source in configs]
    for samples in sets:
        samples[0]  # so that an image of another shape is reported before the other sources are measured
    evaluators = [evaluator_for(samples, str(source), config) for samples, source in zip(sets, sources)]
    return [
        measure(samples, str(source), evaluator, batch_size)
        for samples, source, evaluator in zip(sets, sources, evaluators)
    ]


def evaluator_for(samples: ImageSetSamples, name: str, config: Config) -> Evaluator:
    """Return the evaluator of `samples`; an InputError if they are too few, or no metric is left for them."""
    evaluator = build_evaluator(evaluator_config(config))
    if not evaluator.metrics:
        raise InputError('the config does not say what to measure: test_evaluator has no metrics.')
    check_collecting(evaluator.metrics)
    if samples.images.labels is None:
        kept = [metric for metric in evaluator.metrics if not isinstance(metric, LabelAccuracy)]
        if len(kept) < len(evaluator.metrics) and is_main_process():
            print(f'{name} has no labels: label accuracy is left out')
        evaluator.metrics = kept
    if not evaluator.metrics:
        raise InputError(f'{name} has no labels, and the config measures nothing else.')
    check_ahead(evaluator.metrics, len(samples))
    return evaluator


def measure(samples: ImageSetSamples, name: str, evaluator: Evaluator, batch_size: int) -> Score:
    """Measure one set of images."""
    started = time.monotonic()
    batches = WholeBatches(DefaultSampler(samples, shuffle=False, seed=0), batch_size)
    for batch in DataLoader(samples, batch_sampler=batches, collate_fn=list):
        evaluator.process(batch)
    composited = samples.images.transparency and samples.images.transparency.described()
    if composited and is_main_process():
        print(f'{name}: {composited}')
    return Score(
        sampler=name,
        metrics=evaluator.evaluate(len(samples)),
        titles=titles_of(evaluator.metrics),
        fingerprints=fingerprints_of(evaluator.metrics),
        num_samples=len(samples),
        seconds=time.monotonic() - started,
        fingerprint=samples.images.fingerprint,
    )
