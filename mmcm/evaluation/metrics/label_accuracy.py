"""How often an image reads as the label that was asked for."""
from collections.abc import Sequence
from typing import Any, Optional

from mmcm.evaluation.metrics.extracting_metric import ExtractingMetric
from mmcm.registry import METRICS


@METRICS.register_module()
class LabelAccuracy(ExtractingMetric):
    """Share of the images that a classifier reads as their `gt_label`, in [0, 1].

    Args:
        extractor (dict, optional): Config of the classifier; None where the predictions carry a `pred_label` already.
        collect_device (str): Where the results of several processes meet, 'cpu' or 'gpu'.
        prefix (str, optional): Prefix of the metric's name.
    """

    default_prefix = 'label'

    def __init__(self,
                 extractor: Optional[dict] = None,
                 collect_device: str = 'cpu',
                 prefix: Optional[str] = None) -> None:
        super().__init__(extractor, collect_device, prefix)

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Read the images of a batch."""
        if self.extractor_config is None:
            read = [sample['pred_label'] for sample in data_samples]
        else:
            read = self.extract_drawn(data_samples).logits.argmax(1)
        self.results += [int(label) == int(sample['gt_label']['label']) for label, sample in zip(read, data_samples)]

    def compute_metrics(self, results: list[bool]) -> dict[str, float]:
        """Return the share of the images that were read as asked for."""
        return dict(accuracy=sum(results) / len(results))
