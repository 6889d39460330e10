"""`Tester`: build a model once, and measure it with any of its samplers and weights."""

import copy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from mmengine.config import Config
from mmengine.dist import get_world_size, is_main_process
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.registry import EVALUATOR, DefaultScope
from mmengine.runner import Runner

from mmcm.apis.data.resolve_dataset import NoDataError, dataset_config
from mmcm.apis.evaluation.saved_samples import SaveSamplesHook
from mmcm.apis.evaluation.scores import Score, plain
from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.checkpoints.weights import digest
from mmcm.datasets.samplers import WholeBatches
from mmcm.denoisers.guidance import Guidance
from mmcm.engine.console import brief_console
from mmcm.engine.loops.loop_ends import check_loop
from mmcm.evaluation.features.shared import channels_for
from mmcm.evaluation.metrics.feature_metric import FeatureMetric
from mmcm.evaluation.reference import PUBLISHED, is_address
from mmcm.evaluation.training_references import with_references
from mmcm.models.consistency_model import ConsistencyModel, inference_config
from mmcm.registry import SAMPLERS, SCOPE
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.model_wrappers import unwrapped
from mmcm.utils.precision import standard_defaults
from mmcm.utils.progress import progress_bar
from mmcm.version import __version__

REQUESTS = 'SamplingRequests'


class Tester:
    """Generate the images that the `test_dataloader` of a config requests, and measure them by its `test_evaluator`.

    Args:
        config (Config): With `model`, `test_dataloader`, `test_evaluator` and `test_cfg`. It is not changed.
        checkpoint (str): Path, URL, zoo name or work directory.
        averages (Sequence[str | None]): The weights that will be loaded; see `chosen_weights`.

    Raises:
        InputError: If the config does not say what to measure, the checkpoint cannot be found, or it has no such
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
        self.checkpoint = Checkpoint.open(str(checkpoint))  # an option may have parsed a name as a number
        self.checkpoint.locate()  # a missing file is reported before anything is built
        if len(averages) > 1:  # a missing average is reported before any is measured
            for average in averages:
                self.checkpoint.weights(average)
        with brief_console(), standard_defaults():
            self.runner = Runner.from_cfg(config)
        check_loop(self.runner.test_loop, 'test_dataloader')  # before weights and references are read
        self.config = config
        self.model = cast(ConsistencyModel, unwrapped(self.runner.model))
        self.saving = SaveSamplesHook()
        self.runner.register_hook(self.saving)
        self.progress = ProgressHook()
        self.runner.register_hook(self.progress)
        self.ema: str | None = None
        self.weights = ''
        self.load(averages[0])
        if len(averages) == 1:
            self.checkpoint.release()

    @property
    def num_samples(self) -> int:
        """Number of generated images."""
        return len(self.runner.test_loop.dataloader.dataset)

    def fingerprints(self, metric: str | None = None) -> dict[str, dict[str, str]]:
        """Return the fingerprints of the extractors and references of the metrics; see `fingerprints_of`.

        Args:
            metric (str, optional): Of this metric alone, such as 'frechet/distance'.

        Raises:
            InputError: If there is no such metric, or a file cannot be found.
        """
        return fingerprints_of(build_evaluator(self.config.test_evaluator, metric).metrics)

    def load(self, average: str | None = None) -> None:
        """Load weights of the checkpoint; see `chosen_weights`."""
        used = self.model.load_checkpoint(self.checkpoint, average)
        self.ema = used if average is None else average
        self.weights = digest(self.model.sampling_weights())

    def measure(self, name: str, sampler: dict, keep: Path | None = None, metric: str | None = None) -> Score:
        """Sample and measure, through MMEngine's test loop.

        Args:
            name (str): Name of the sampler.
            sampler (dict): Its config.
            keep (Path, optional): An npz file for the images.
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
        self.saving.path = keep
        self.saving.origin = dict(
            num_images=self.num_samples,
            sampler=plain(sampler),
            ema=self.ema,
            weights=self.weights,
            requests=plain(self.config.test_dataloader.dataset),
            mmcm=__version__,
        )
        if self.model.guidance.acts:
            self.saving.origin['guidance'] = plain(self.model.guidance.config())
            if self.model.guide is not None:
                self.saving.origin['guide'] = digest(self.model.guide.denoiser.backbone.state_dict())
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
            network_calls=self.model.nfe(self.model.sampler),
            ema=self.ema,
            weights=self.weights,
        )


class ProgressHook(Hook):
    """Report each batch of MMEngine's test loop to `advance`, of `progress_bar`."""

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Report a batch."""
        self.advance()


def check_test_parts(config: Config) -> None:
    """Raise an InputError unless `config` says what to generate and measure."""
    for part in ('test_dataloader', 'test_evaluator', 'test_cfg'):
        if config.get(part) is None:
            raise InputError(f'the config does not say what to measure: it has no {part}.')
    check_count('test_dataloader.batch_size', config.test_dataloader.get('batch_size'))


def set_guidance(config: Config, scale: float | None, interval: Sequence[float] | None) -> None:
    """Set the guidance of the model of `config`; None leaves a setting unchanged.

    Raises:
        InputError: If a value is out of its range, or there is an interval without a scale.
    """
    if scale is None and interval is None:
        return
    own = Guidance.of(config.model.get('guidance'))
    # A second network stays.
    config.model.guidance = {**(config.model.get('guidance') or {}), **own.changed(scale, interval).config()}


def set_requests(config: Config, **settings: int | None) -> None:
    """Set `num_samples` or `seed` of the requests of `config`; None leaves a setting unchanged.

    Raises:
        InputError: If the config requests no images by number and seed.
    """
    settings = {name: value for name, value in settings.items() if value is not None}
    requests = (config.get('test_dataloader') or {}).get('dataset') or {}
    if str(requests.get('type')).split('.')[-1] == REQUESTS:
        requests.setdefault('seed', 0)  # so that the file of scores records it
    elif settings:
        raise InputError(
            f'{" and ".join(settings)} are of images that are generated on request, and the test_dataloader '
            f'of the config has no dataset of type {REQUESTS}.'
        )
    requests.update(settings)


def evaluator_config(config: Config) -> dict | list | None:
    """Return the `test_evaluator` of `config` with data sets in place of references by name.

    `reference='train'` becomes the training data without mirror images, 'held_out' the images that the training holds
    out; a folder, a zip or another config becomes its `dataset_config`. Files and names of `Reference` stay.

    Raises:
        InputError: If there are no such data, or the evaluator is no config.
    """
    evaluator = config.get('test_evaluator')
    if not (evaluator is None or isinstance(evaluator, (dict, list, tuple))):
        raise InputError(f'test_evaluator has to be the config of an evaluator, got {evaluator!r}.')
    dataset = (config.get('train_dataloader') or {}).get('dataset')
    return with_references(
        evaluator,
        dataset,
        lambda source, extractor: named_reference(source, channels_for(extractor or {})),
        'test_evaluator',
    )


def named_reference(source: str, channels: int | None = None) -> dict | str:
    """Return the config of the data set that `source` names; names that `Reference` looks up itself stay.

    Args:
        source (str): A reference.
        channels (int, optional): See `dataset_config`.
    """
    path = Path(source).expanduser()
    if source in PUBLISHED or is_address(source) or path.suffix == '.npz':
        return source
    try:
        return dataset_config(source, channels=channels)
    except NoDataError:
        return source  # `Reference` raises the error


def check_ahead(metrics: Sequence[BaseMetric], num_samples: int) -> None:
    """Raise an InputError if `num_samples` images are too few for one of `metrics`, or its reference does not fit."""
    for metric in metrics:
        if isinstance(metric, FeatureMetric):
            metric.check_ahead(num_samples)


def build_evaluator(config: dict | list | None, metric: str | None = None) -> Evaluator:
    """Build the evaluator of a config, or of a list of configs of metrics.

    Args:
        config (dict | list, optional): MMEngine's `test_evaluator`.
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
    """Raise an InputError if a metric would lose images that `WholeBatches` distributes."""
    if get_world_size() > 1:
        for metric in metrics:
            if type(metric).evaluate is BaseMetric.evaluate:
                raise InputError(
                    f'{type(metric).__name__} collects equal shares of all processes, and WholeBatches deals out '
                    'unequal ones: test with one process, or without test_dataloader.batch_sampler.'
                )


def titles_of(metrics: Sequence[BaseMetric]) -> dict[str, str]:
    """Return the field's names, such as FID, of the values of `metrics` that have one."""
    return {key: title for metric in metrics for key, title in getattr(metric, 'titles', {}).items()}


def fingerprints_of(metrics: Sequence[BaseMetric]) -> dict[str, dict[str, str]]:
    """Return the fingerprints of the `extractor` and the `reference` of each metric that has one, by its prefix."""
    found: dict[str, dict[str, str]] = {}
    for metric in metrics:
        parts = {part: getattr(getattr(metric, part, None), 'fingerprint', None) for part in ('extractor', 'reference')}
        found.setdefault(str(metric.prefix), {}).update({part: text for part, text in parts.items() if text})
    return {prefix: parts for prefix, parts in found.items() if parts}
