"""Validation while training: a few samples at fixed seeds, measured."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.evaluator import Evaluator
from mmengine.runner import FlexibleRunner, Runner, ValLoop
from torch import nn
from torch.utils.data import DataLoader

from mmcm.datasets.sampling_requests import SamplingRequests
from mmcm.evaluation.metrics.feature_metric import FeatureMetric
from mmcm.evaluation.training_references import with_references
from mmcm.models import ConsistencyModel
from mmcm.registry import DATASETS, LOOPS, MODELS, SAMPLERS
from mmcm.samplers.base import Sampler
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.finite import NotFiniteError
from mmcm.utils.meta_device import without_weights
from mmcm.utils.model_wrappers import unwrapped
from mmcm.utils.random_state import undisturbed

VALIDATED = 'last_validation'  # in the log of a checkpoint: the iteration of the last validation that it has seen


@LOOPS.register_module()
class SampleValLoop(ValLoop):
    """Sample the requests of `val_dataloader` from the first average of the weights, and compute `val_evaluator`.

    The training does not change: random states are restored. Requests without labels are balanced over the classes of
    the model. The references 'held_out' and 'train' of the evaluator are the images that the training data hold out,
    and those data themselves. What cannot be measured is reported before the first step. A validation whose samples are
    not finite has no score; a warning says so, and the training goes on.

    Args:
        runner (Runner): The runner, whose model is a `ConsistencyModel` with a sampler.
        dataloader (DataLoader | dict): Loader of `SamplingRequests`.
        evaluator (Evaluator | dict | list): The metrics.
        max_nfe (int, optional): Largest NFE of an image. A sampler with `num_steps` that exceeds it takes fewer steps;
            others stay. None: the sampler of the model.
        fp16 (bool): See `ValLoop`.

    Raises:
        InputError: If the model does not sample, images are too few for a metric, or a reference cannot be read.
    """

    def __init__(
        self,
        runner: Runner | FlexibleRunner,
        dataloader: DataLoader | dict,
        evaluator: Evaluator | dict | list,
        max_nfe: int | None = 9,
        fp16: bool = False,
    ) -> None:
        model = model_of(runner)
        if not isinstance(model, ConsistencyModel) or model.sampler is None:
            raise InputError('SampleValLoop validates a ConsistencyModel with a sampler: set model.sampler.')
        if max_nfe is not None:
            check_count('val_cfg.max_nfe', max_nfe)
        self.sampler = shortened(runner.cfg.model.get('sampler'), model.sampler, max_nfe, model.nfe)
        if isinstance(dataloader, dict):
            dataloader = requests_for(dataloader, model)
            if isinstance(runner, FlexibleRunner):
                # Networks in shards are called by all processes together, so each needs as many batches.
                dataloader.pop('batch_sampler', None)
        if not isinstance(evaluator, Evaluator):
            training = (runner.cfg.get('train_dataloader') or {}).get('dataset')
            evaluator = with_references(evaluator, training, setting='val_evaluator')
        super().__init__(runner, dataloader, evaluator, fp16)
        number = len(self.dataloader.dataset)
        for metric in self.evaluator.metrics:
            if isinstance(metric, FeatureMetric):
                metric.check_ahead(number)
        runner.logger.info(
            f'Validation: {number} images, {model.nfe(self.sampler)} NFE each; {references_of(self.evaluator.metrics)}'
        )
        self.failure: NotFiniteError | None = None

    def run(self) -> dict:
        """Validate; return the values of the metrics, none where samples are not finite."""
        model = unwrapped(self.runner.model)
        sampler, model.sampler = model.sampler, self.sampler
        try:
            with undisturbed(next(model.parameters()).device):
                return self.measure()
        finally:
            model.sampler = sampler

    def measure(self) -> dict:
        """See `run`; as MMEngine's `ValLoop.run`, which knows no samples that fail."""
        self.runner.call_hook('before_val')
        self.runner.call_hook('before_val_epoch')
        self.runner.model.eval()
        self.failure = None
        for index, batch in enumerate(self.dataloader):
            self.run_iter(index, batch)
            if self.failure is not None and not isinstance(self.runner, FlexibleRunner):
                break  # only networks in shards have to be called by all processes equally often
        if any_process(self.failure is not None):
            self.runner.logger.warning(f'The validation has no score: {self.failure or "samples are not finite"}')
            for metric in self.evaluator.metrics:
                metric.begin() if isinstance(metric, FeatureMetric) else metric.results.clear()
            metrics: dict = {}
        else:
            metrics = self.evaluator.evaluate(len(self.dataloader.dataset))
        self.runner.message_hub.update_info(VALIDATED, self.runner.iter)
        self.runner.call_hook('after_val_epoch', metrics=metrics)
        self.runner.call_hook('after_val')
        return metrics

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """Sample and measure a batch; note where it is not finite."""
        try:
            super().run_iter(idx, data_batch)
        except NotFiniteError as error:
            self.failure = error


def model_of(runner: Runner | FlexibleRunner) -> Any:
    """Return the model of a runner; before a strategy has built it, one of its config without memory for weights."""
    if isinstance(runner.model, nn.Module):
        return unwrapped(runner.model)
    with without_weights():
        return MODELS.build(runner.cfg.model)


def any_process(flag: bool) -> bool:
    """Return whether `flag` is true in one of the processes; all of them have to call it."""
    if get_world_size() == 1:
        return flag
    shared = torch.tensor(int(flag), dtype=torch.int64, device='cpu')
    all_reduce(shared, op='max')
    return bool(shared)


def shortened(
    config: dict | None, sampler: Sampler, max_nfe: int | None, nfe_of: Callable[[Sampler], int] = lambda one: one.nfe
) -> Sampler:
    """Return the `sampler` of `config` with at most `max_nfe` NFE, if fewer steps make it so, or as it is."""
    if max_nfe is None or nfe_of(sampler) <= max_nfe or not isinstance(config, dict) or config.get('num_steps') is None:
        return sampler
    for num_steps in range(config['num_steps'] - 1, 0, -1):
        shorter = SAMPLERS.build({**config, 'num_steps': num_steps})
        if nfe_of(shorter) <= max_nfe:
            return shorter
    return sampler


def requests_for(dataloader: dict, model: ConsistencyModel) -> dict:
    """Return the config of a loader whose requests have labels, balanced over the classes of a conditional `model`."""
    dataloader = copy.deepcopy(dataloader)
    requests = dataloader.get('dataset')
    if not isinstance(requests, dict) or DATASETS.get(requests.get('type', '')) is not SamplingRequests:
        return dataloader
    if model.num_classes is not None:
        requests['num_classes'] = requests.get('num_classes') or model.num_classes
        requests['labels'] = 'balanced' if requests.get('labels') is None else requests['labels']
    return dataloader


def references_of(metrics: Sequence[Any]) -> str:
    """Return the real images that `metrics` compare with, in words."""
    names = []
    for reference in [metric.reference for metric in metrics if getattr(metric, 'reference', None) is not None]:
        source = reference.source
        split = reference.given.get('split') if isinstance(reference.given, dict) else None
        number = 'statistics' if source.dataset is None else f'{len(source.dataset)} images'
        names.append(f'{source.name}{"" if split is None else f", split={split!r}"} ({number})')
    return f'compared with {" and ".join(dict.fromkeys(names)) or "no real images"}.'
