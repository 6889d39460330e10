"""MMEngine's evaluator for metrics that share a network of features and a set of real images."""

from collections.abc import Sequence
from inspect import signature

from mmengine.evaluator import BaseMetric, Evaluator

from mmcm.registry import EVALUATORS, METRICS


@EVALUATORS.register_module()
class ImageEvaluator(Evaluator):
    """An evaluator whose metrics share their extractor and reference.

    Args:
        metrics (Sequence[dict]): Configs of metrics. A metric that takes an `extractor` or a `reference`, and names
            none, gets the shared one.
        extractor (dict, optional): Config of the feature extractor.
        reference (dict | str, optional): The real images: config of a data set, or path or URL of an npz file.
    """

    def __init__(
        self, metrics: Sequence[dict], extractor: dict | None = None, reference: dict | str | None = None
    ) -> None:
        shared = dict(extractor=extractor, reference=reference)
        super().__init__([build_metric(metric, shared) for metric in metrics])


def build_metric(config: dict, shared: dict) -> BaseMetric:
    """Build a metric, with `shared` as defaults of those arguments that it takes."""
    metric = METRICS.get(config['type'])
    known = {} if metric is None else signature(metric).parameters
    defaults = {name: value for name, value in shared.items() if value is not None and name in known}
    return METRICS.build({**defaults, **config})
