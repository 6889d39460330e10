"""`Tester`: a model that is built once, and measured with any of its samplers and any of its weights."""

import copy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import get_world_size, is_main_process
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.registry import EVALUATOR, DefaultScope
from mmengine.runner import Runner
from torch import nn

from mmcm.apis.data.resolve_dataset import NoDataError, dataset_config
from mmcm.apis.evaluation.saved_samples import KeptSamples
from mmcm.apis.evaluation.scores import Score, plain
from mmcm.checkpoints import cached_file
from mmcm.checkpoints.weights import chosen_weights, digest, read_backbone, read_content
from mmcm.datasets.samplers import WholeBatches
from mmcm.engine.console import brief_console
from mmcm.engine.loops.loop_ends import check_loop
from mmcm.evaluation.features.shared import channels_for
from mmcm.evaluation.metrics.feature_metric import ExtractingMetric
from mmcm.evaluation.reference import PUBLISHED, is_address
from mmcm.models.consistency_model import inference_config
from mmcm.registry import SAMPLERS, SCOPE
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.model_wrappers import unwrapped
from mmcm.utils.precision import standard_defaults
from mmcm.utils.progress import progress_bar
from mmcm.version import __version__

REQUESTS = 'SamplingRequests'
TRAINING_DATA = 'train'  # names the data of the config itself as a reference


class Tester:
    """Draws what the `test_dataloader` of a config asks for, and measures it by its `test_evaluator`.

    Args:
        config (Config): With `model`, `test_dataloader`, `test_evaluator` and `test_cfg`. It is not changed.
        checkpoint (str): Path, URL, zoo name or work directory.
        averages (Sequence[str | None]): Which weights are going to be asked for; see `read_backbone`.

    Raises:
        InputError: If the config does not say what to measure, the checkpoint cannot be had, or it has no such
            weights.
    """

    def __init__(self, config: Config, checkpoint: str, averages: Sequence[str | None] = (None,)) -> None:
        check_test_parts(config)
        config = copy.deepcopy(config)
        config.test_evaluator = evaluator_config(config)
        config.model = inference_config(config.model)
        for part in (
            'train_dataloader',
            'train_cfg',
            'optim_wrapper',
            'param_scheduler',
            'val_dataloader',
            'val_evaluator',
            'val_cfg',
        ):
            config.pop(part, None)
        config.load_from, config.resume = None, False
        self.checkpoint = checkpoint = str(checkpoint)  # an option may have made a number of a name
        path = cached_file(checkpoint)  # a missing file is told before anything is built
        if len(averages) > 1:  # so that the last one of them is not missed when the first one has been measured
            for average in averages:
                read_backbone(path, average)
        with brief_console(), standard_defaults():
            self.runner = Runner.from_cfg(config)
        check_loop(self.runner.test_loop, 'test_dataloader')  # before weights and references are read
        self.config = config
        self.model = unwrapped(self.runner.model)
        self.kept = KeptSamples()
        self.runner.register_hook(self.kept)
        self.progress = ProgressHook()
        self.runner.register_hook(self.progress)
        self.ema: str | None = None
        self.weights = ''
        self.load(averages[0])

    @property
    def num_samples(self) -> int:
        """How many images are drawn."""
        return len(self.runner.test_loop.dataloader.dataset)

    def fingerprints(self, metric: str | None = None) -> dict[str, dict[str, str]]:
        """Return what files of weights and of real images contain that are to be used; see `fingerprints_of`.

        Args:
            metric (str, optional): For this metric alone, such as 'frechet/distance'.

        Raises:
            InputError: If there is no such metric, or a file cannot be had.
        """
        return fingerprints_of(build_evaluator(self.config.test_evaluator, metric).metrics)

    def load(self, average: str | None = None) -> None:
        """Load weights of the checkpoint; see `read_backbone`."""
        self.model.load_checkpoint(self.checkpoint, average)
        self.ema = average_used(cached_file(self.checkpoint), average, self.model.denoiser.backbone)
        self.weights = digest(self.model.inference_denoiser.backbone.state_dict())

    def measure(self, name: str, sampler: dict, keep: Path | None = None, metric: str | None = None) -> Score:
        """Draw with a sampler and measure, through MMEngine's test loop.

        Args:
            name (str): What the sampler is called.
            sampler (dict): Its config.
            keep (Path, optional): An npz file for what is drawn.
            metric (str, optional): Compute this metric alone, such as 'frechet/distance'; None computes all.

        Raises:
            InputError: If the sampler cannot be built, or a metric cannot be computed.
        """
        self.model.sampler = SAMPLERS.build(sampler)
        loop = self.runner.test_loop
        loop.evaluator = build_evaluator(self.config.test_evaluator, metric)
        loop.evaluator.dataset_meta = getattr(loop.dataloader.dataset, 'metainfo', None)
        if isinstance(loop.dataloader.batch_sampler, WholeBatches):
            check_collecting(loop.evaluator.metrics)
        check_ahead(loop.evaluator.metrics, self.num_samples)
        self.kept.path = keep
        self.kept.origin = dict(
            num_images=self.num_samples,
            sampler=plain(sampler),
            ema=self.ema,
            weights=self.weights,
            requests=plain(self.config.test_dataloader.dataset),
            mmcm=__version__,
        )
        started = time.monotonic()
        with progress_bar('sampling', len(loop.dataloader), is_main_process(), 'batches') as self.progress.advance:
            metrics = self.runner.test()
        return Score(
            sampler=name,
            metrics=metrics,
            titles=titles_of(loop.evaluator.metrics),
            fingerprints=fingerprints_of(loop.evaluator.metrics),
            num_samples=self.num_samples,
            seconds=time.monotonic() - started,
            sampler_config=sampler,
            network_calls=self.model.sampler.nfe,
            ema=self.ema,
            weights=self.weights,
        )


class ProgressHook(Hook):
    """Reports each batch of MMEngine's test loop to `advance`, of `progress_bar`."""

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Report a batch."""
        self.advance()


def check_test_parts(config: Config) -> None:
    """Raise an InputError unless `config` says what to draw, and what to measure of it."""
    for part in ('test_dataloader', 'test_evaluator', 'test_cfg'):
        if config.get(part) is None:
            raise InputError(f'the config does not say what to measure: it has no {part}.')
    check_count('test_dataloader.batch_size', config.test_dataloader.get('batch_size'))


def set_requests(config: Config, **settings: int | None) -> None:
    """Set `num_samples` or `seed` of what `config` asks for; None leaves it as it is.

    Raises:
        InputError: If the config asks for no images by number and seed.
    """
    settings = {name: value for name, value in settings.items() if value is not None}
    requests = (config.get('test_dataloader') or {}).get('dataset') or {}
    if str(requests.get('type')).split('.')[-1] == REQUESTS:
        requests.setdefault('seed', 0)  # so that what is written of it says so
    elif settings:
        raise InputError(
            f'{" and ".join(settings)} are of images that are drawn on request, and the test_dataloader '
            f'of the config has no dataset of type {REQUESTS}.'
        )
    requests.update(settings)


def evaluator_config(config: Config) -> dict | list | None:
    """Return the `test_evaluator` of `config`, where data sets are the references that are called by a name.

    `reference='train'` becomes the training data, not mirrored; a folder, a zip, or a config other than this one, what
    `dataset_config` makes of it. Files and names of `Reference` stay as they are.

    Raises:
        InputError: If there are no such data, or it is no config.
    """
    evaluator = config.get('test_evaluator')
    if not (evaluator is None or isinstance(evaluator, (dict, list, tuple))):
        raise InputError(f'test_evaluator has to be the config of an evaluator, got {evaluator!r}.')
    dataset = (config.get('train_dataloader') or {}).get('dataset')

    def resolved(part: dict | list | None, extractor: dict | None = None) -> dict | list | None:
        if isinstance(part, (list, tuple)):
            return [resolved(each, extractor) for each in part]
        if not isinstance(part, dict):
            return part
        extractor = part.get('extractor') or extractor
        part = {key: resolved(value, extractor) if key == 'metrics' else value for key, value in part.items()}
        reference = part.get('reference')
        if reference == TRAINING_DATA:
            if dataset is None:
                raise InputError(
                    f'reference={TRAINING_DATA!r} in test_evaluator is the training data, and the config '
                    'has no train_dataloader.dataset: name the real images.'
                )
            part['reference'] = dataset_config(dataset)
        elif not (reference is None or isinstance(reference, dict)):
            part['reference'] = named_reference(str(reference), channels_for(extractor or {}))
        return part

    return resolved(evaluator)


def named_reference(source: str, channels: int | None = None) -> dict | str:
    """Return the config of the data set that `source` names; what `Reference` looks up itself stays as it is.

    Args:
        source (str): What was given as a reference.
        channels (int, optional): See `dataset_config`.
    """
    path = Path(source).expanduser()
    if source in PUBLISHED or is_address(source) or path.suffix == '.npz':
        return source
    try:
        return dataset_config(source, channels=channels)
    except NoDataError:
        return source  # `Reference` says what there could be


def check_ahead(metrics: Sequence[BaseMetric], num_samples: int) -> None:
    """Raise an InputError if one of `metrics` has no value of so many images, or cannot compare with the real ones."""
    for metric in metrics:
        if isinstance(metric, ExtractingMetric):
            metric.check_ahead(num_samples)


def build_evaluator(config: dict, metric: str | None = None) -> Evaluator:
    """Build the evaluator of a config, or a list of configs, of metrics.

    Args:
        config (dict | list): As MMEngine's `test_evaluator`.
        metric (str, optional): Keep only what this metric, such as 'frechet/distance', needs.

    Raises:
        InputError: If there is no such metric.
    """
    config = copy.deepcopy(config)
    with DefaultScope.overwrite_default_scope(SCOPE):
        if isinstance(config, dict) and 'metrics' in config:
            evaluator = EVALUATOR.build({'type': 'Evaluator', **config})
        else:
            evaluator = Evaluator(config)
    if metric is not None:
        prefixes = [str(one.prefix) for one in evaluator.metrics]
        evaluator.metrics = [one for one in evaluator.metrics if one.prefix == metric.rpartition('/')[0]]
        if not evaluator.metrics:
            raise InputError(
                f'the config has no metric {metric!r}: its metrics begin with {", ".join(dict.fromkeys(prefixes))}.'
            )
    return evaluator


def check_collecting(metrics: Sequence[BaseMetric]) -> None:
    """Raise an InputError if a metric would lose images that are dealt out in whole batches."""
    if get_world_size() > 1:
        for metric in metrics:
            if type(metric).evaluate is BaseMetric.evaluate:
                raise InputError(
                    f'{type(metric).__name__} collects equal shares of all processes, and WholeBatches '
                    'deals out unequal ones: test with one process, or without '
                    'test_dataloader.batch_sampler.'
                )


def titles_of(metrics: Sequence[BaseMetric]) -> dict[str, str]:
    """Return the field's names, such as FID, of what `metrics` compute, for those that have one."""
    return {key: title for metric in metrics for key, title in getattr(metric, 'titles', {}).items()}


def fingerprints_of(metrics: Sequence[BaseMetric]) -> dict[str, dict[str, str]]:
    """Return the fingerprints of the `extractor` and the `reference` of each metric that has any, by its prefix."""
    found = {}
    for metric in metrics:
        parts = {part: getattr(getattr(metric, part, None), 'fingerprint', None) for part in ('extractor', 'reference')}
        found.setdefault(str(metric.prefix), {}).update({part: text for part, text in parts.items() if text})
    return {prefix: parts for prefix, parts in found.items() if parts}


def average_used(path: Path, average: str | None, network: nn.Module | None = None) -> str | None:
    """Return which weights of a checkpoint are read where `average` is asked for; None if it has one set only."""
    if average is not None:
        return average
    return chosen_weights(read_content(path), path, average, network)[1]
