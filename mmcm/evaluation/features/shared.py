"""Shared feature extractors: metrics with the same config use one network."""

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

import torch
from mmengine.device import get_device
from torch import Tensor

from mmcm.evaluation.features.base import Features, fingerprint_of
from mmcm.registry import MODELS
from mmcm.renamed import old_names
from mmcm.utils.errors import InputError
from mmcm.utils.log import log_warning
from mmcm.utils.precision import standard_defaults

__getattr__ = old_names(__name__)
REFERENCE = 'InceptionV3'  # the extractor of the reference evaluator and of published scores


class SharedExtractor:
    """A feature extractor, built at its first use on the best available device.

    Args:
        config (dict): Its config.
    """

    def __init__(self, config: dict) -> None:
        self.config = config
        self.kind = str(getattr(config['type'], '__name__', config['type'])).split('.')[-1]
        self._last: tuple[Sequence[dict[str, Any]], Features] | None = None

    @cached_property
    def network(self) -> Any:  # a Module with extract(images)
        """The network, with its weights, on its device; doubts about the weights are logged as a warning."""
        with standard_defaults():
            network = MODELS.build(self.config)
            if not callable(getattr(network, 'extract', None)):
                raise InputError(f'{self.kind} is no feature extractor: it has no method extract(images).')
            network.init_weights()
        doubt = getattr(network, 'doubt', None)
        if doubt is not None:
            log_warning(
                f'{doubt} If they are not, scores and statistics that others have published cannot be compared with.'
            )
        return network.to(get_device()).eval()

    @property
    def is_reference(self) -> bool:
        """Whether its type is that of the reference evaluator; for its weights, see `network`."""
        return self.kind == REFERENCE

    @property
    def fingerprint(self) -> str:
        """Digest that identifies its features, in hexadecimal digits."""
        return getattr(self.network, 'fingerprint', None) or fingerprint_of(self.network)

    @torch.no_grad()
    def extract(self, images: Tensor) -> Features:
        """Return the features, in main memory, of `images`, uint8 (N, C, H, W).

        Raises:
            InputError: If they are not finite, which would make every metric meaningless.
        """
        made = self.network.extract(images.to(get_device()))
        features = Features._make(None if field is None else field.cpu() for field in made)
        for name, values in features._asdict().items():
            if values is not None and not values.isfinite().all():
                raise InputError(
                    f'{self.kind} makes {name} of these images that are not finite: its weights may be damaged.'
                )
        return features

    def extract_samples(self, data_samples: Sequence[dict[str, Any]]) -> Features:
        """Return the features of the images generated for `data_samples`; see `extract`.

        MMEngine's evaluator passes the same list to all metrics, so the features of the last list are kept.
        """
        if self._last is None or self._last[0] is not data_samples:
            self._last = data_samples, self.extract(generated_images(data_samples))
        return self._last[1]


# An unused extractor is dropped, with the memory of its network.
_EXTRACTORS: WeakValueDictionary[str, SharedExtractor] = WeakValueDictionary()


def shared_extractor(config: dict) -> SharedExtractor:
    """Return the extractor of `config`; calls with equal configs share one as long as it is in use.

    Raises:
        InputError: If `config` is no config.
    """
    if not isinstance(config, dict) or 'type' not in config:
        raise InputError(
            f"extractor has to be the config of a feature extractor, such as dict(type='{REFERENCE}'), got {config!r}."
        )
    key = json.dumps(config, sort_keys=True, default=repr)
    extractor = _EXTRACTORS.get(key)
    if extractor is None:
        extractor = _EXTRACTORS[key] = SharedExtractor(config)
    return extractor


def channels_for(config: dict) -> int | None:
    """Return the number of channels that the extractor of `config` needs; None if it takes grey and RGB images."""
    kind = config.get('type')
    return getattr(MODELS.get(kind) if isinstance(kind, str) else kind, 'channels', None)


def generated_images(data_samples: Sequence[dict[str, Any]]) -> Tensor:
    """Return the images generated for `data_samples`, uint8 (N, C, H, W).

    Raises:
        InputError: If there are none, or they have several sizes, or another dtype.
    """
    images = [sample['fake_img'] for sample in data_samples if sample.get('fake_img') is not None]
    if not data_samples:
        raise InputError('there is a batch without any image.')
    if len(images) < len(data_samples):
        raise InputError('the predictions have no fake_img, the generated image.')
    kinds = sorted({(tuple(image.shape), str(image.dtype)) for image in images})
    if len(kinds) > 1 or images[0].dtype != torch.uint8:
        raise InputError(
            'the images to be measured have to be uint8 and of one size, got '
            f'{" and ".join(f"{dtype} {shape}" for shape, dtype in kinds)}.'
        )
    return torch.stack(images)
