"""Metrics that look at drawn images through the features of a network."""
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.evaluator import BaseMetric

from mmcm.evaluation.features.base import Features
from mmcm.registry import DATASETS, MODELS


class ExtractingMetric(BaseMetric):
    """A metric with a feature extractor, which is built on the best device present when it is first needed.

    Args:
        extractor (dict): Config of the feature extractor.
        collect_device (str): Where the results of several processes meet, 'cpu' or 'gpu'.
        prefix (str, optional): Prefix of the metric's name.
    """

    def __init__(self, extractor: Optional[dict], collect_device: str = 'cpu', prefix: Optional[str] = None) -> None:
        super().__init__(collect_device, prefix)
        self.extractor_config = extractor
        self.extractor = None

    def extract(self, images: torch.Tensor) -> Features:
        """Return the features of `images`, uint8 (N, C, H, W)."""
        if self.extractor is None:
            self.extractor = MODELS.build(self.extractor_config)
            self.extractor.init_weights()
            self.extractor.to(get_device()).eval()
        return self.extractor.extract(images.to(next(self.extractor.parameters()).device))

    def extract_drawn(self, data_samples: Sequence[dict[str, Any]]) -> Features:
        """Return the features of the images that were drawn for `data_samples`."""
        return self.extract(torch.stack([sample['fake_img'] for sample in data_samples]))

    def extract_dataset(self, dataset: dict, batch_size: int = 500) -> np.ndarray:
        """Return the features of a data set, given by its config, whose `inputs` are uint8, (C, H, W).

        Returns:
            ndarray: (N, D), float64.
        """
        images = DATASETS.build(dataset)
        batches = []
        for start in range(0, len(images), batch_size):
            stop = min(start + batch_size, len(images))
            batch = torch.stack([images[index]['inputs'] for index in range(start, stop)])
            batches.append(self.extract(batch).features.cpu().double().numpy())
        return np.concatenate(batches)
