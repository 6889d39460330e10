"""One network of features for all metrics that ask for the same."""

import json
import logging
from collections.abc import Sequence
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from torch import Tensor, nn

from mmcm.evaluation.features.base import Features, fingerprint_of
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from mmcm.utils.precision import standard_defaults

REFERENCE = 'InceptionV3'  # the extractor of the reference evaluator, in whose features published scores are


class SharedExtractor:
    """A feature extractor, built on the best device present when it is first needed.

    Args:
        config (dict): Its config.
    """

    def __init__(self, config: dict) -> None:
        self.config = config
        self.kind = str(getattr(config['type'], '__name__', config['type'])).split('.')[-1]
        self._last = (None, None)

    @cached_property
    def network(self) -> nn.Module:
        """The network, with its weights, on its device; a warning is logged if it has doubts about them."""
        with standard_defaults():
            network = MODELS.build(self.config)
            if not callable(getattr(network, 'extract', None)):
                raise InputError(f'{self.kind} is no feature extractor: it has no method extract(images).')
            network.init_weights()
        doubt = getattr(network, 'doubt', None)
        if doubt is not None:
            print_log(
                f'{doubt} If they are not, scores and statistics that others have published cannot be compared with.',
                'current',
                logging.WARNING,
            )
        return network.to(get_device()).eval()

    @property
    def is_reference(self) -> bool:
        """Whether its features are those of the reference evaluator, by its type: of its weights, see `network`."""
        return self.kind == REFERENCE

    @property
    def fingerprint(self) -> str:
        """What tells its features from those of any other, in hexadecimal digits."""
        return getattr(self.network, 'fingerprint', None) or fingerprint_of(self.network)

    @torch.no_grad()
    def extract(self, images: Tensor) -> Features:
        """Return the features, in main memory, of `images`, uint8 (N, C, H, W).

        Raises:
            InputError: If they are not finite, so that no number that is made of them would mean anything.
        """
        made = self.network.extract(images.to(get_device()))
        features = Features(*(None if field is None else field.cpu() for field in made))
        for name, values in features._asdict().items():
            if values is not None and not values.isfinite().all():
                raise InputError(
                    f'{self.kind} makes {name} of these images that are not finite: its weights may be damaged.'
                )
        return features

    def extract_drawn(self, data_samples: Sequence[dict[str, Any]]) -> Features:
        """Return the features of the images that were drawn for `data_samples`; see `extract`.

        MMEngine's evaluator hands the same list to all metrics, so the first one that asks pays for all of them.
        """
        if self._last[0] is not data_samples:
            self._last = data_samples, self.extract(drawn_images(data_samples))
        return self._last[1]


_EXTRACTORS = WeakValueDictionary()  # what nobody uses any more goes, and the memory of its network with it


def shared_extractor(config: dict) -> SharedExtractor:
    """Return the extractor that `config` asks for: the same one to all who ask for the same, as long as one has it.

    Raises:
        InputError: If `config` is none.
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
    """Return how many channels images need for the extractor of `config`; None where grey and coloured ones will do."""
    kind = config.get('type')
    return getattr(MODELS.get(kind) if isinstance(kind, str) else kind, 'channels', None)


def drawn_images(data_samples: Sequence[dict[str, Any]]) -> Tensor:
    """Return the images that were drawn for `data_samples`, uint8 (N, C, H, W).

    Raises:
        InputError: If there are none, or they have several sizes, or another dtype.
    """
    images = [sample.get('fake_img') for sample in data_samples]
    if not images:
        raise InputError('there is a batch without any image.')
    if any(image is None for image in images):
        raise InputError('the predictions have no fake_img, the image that was drawn.')
    kinds = sorted({(tuple(image.shape), str(image.dtype)) for image in images})
    if len(kinds) > 1 or images[0].dtype != torch.uint8:
        raise InputError(
            'the images to be measured have to be uint8 and of one size, got '
            f'{" and ".join(f"{dtype} {shape}" for shape, dtype in kinds)}.'
        )
    return torch.stack(images)
