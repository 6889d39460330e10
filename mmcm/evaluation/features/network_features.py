"""Feature extractor around any network of the registry or of an importable package."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.evaluation.features.base import FeatureExtractor, Features, as_rgb, fingerprint_of
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError

Place = int | str


@MODELS.register_module()
class NetworkFeatures(FeatureExtractor):
    """Features of any network; images are converted to the input that it expects.

    Args:
        network (dict | str): Config of the network, or its type alone. The `type` is a name of the registry or the path
            of an importable class or function, such as `'torchvision.models.resnet50'`.
        checkpoint (str | Path, optional): Its weights, a file or an address, see `Checkpoint`; by default, the
            weights that the constructor makes.
        sha256 (str, optional): Digest that the file must have, in hexadecimal digits.
        arguments (dict, optional): Arguments of the network besides the images.
        features (int | str, optional): Place of the features in the output of the network: the position in a sequence,
            the key in a mapping or the name of an attribute; by default, the whole output. All but the first axis are
            flattened.
        logits (int | str, optional): Place of the logits, likewise; None for no logits.
        rgb (bool): Whether grey images get three equal channels.
        size (tuple[int, int], optional): Height and width to resize to, bilinearly with antialiasing; by default, the
            size of the images.
        value_range (tuple[float, float], optional): Values of 0 and 255 in the input, float32. By default, images stay
            uint8, or float32 from 0 to 255 if they are resized.
        mean (Sequence[float], optional): Subtracted from each channel after that.
        std (Sequence[float], optional): Divides each channel then.
        batch_size (int): Largest number of images per pass. On a GPU, a batch that does not fit is halved.
    """

    def __init__(
        self,
        network: dict | str | None,
        checkpoint: str | Path | None = None,
        sha256: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        features: Place | None = None,
        logits: Place | None = None,
        rgb: bool = True,
        size: tuple[int, int] | None = None,
        value_range: tuple[float, float] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        batch_size: int = 64,
    ) -> None:
        super().__init__(batch_size)
        if isinstance(network, str):
            network = dict(type=network)
        elif not (network is None or isinstance(network, dict)):
            raise InputError(
                'network has to be the config of a network or its type, such as '
                f"'torchvision.models.resnet50', got {network!r}."
            )
        self.checkpoint = None if checkpoint is None else str(checkpoint)
        self.sha256 = sha256
        self.settings: dict[str, Any] = dict(
            network=network and dict(network), arguments=dict(arguments or {}), features=features, logits=logits,
            rgb=rgb, size=size and tuple(size), value_range=value_range and tuple(value_range),
            mean=mean and tuple(mean), std=std and tuple(std))  # yapf: disable
        self.network: nn.Module | None = None

    def init_weights(self) -> None:
        """Build the network and read its weights. The second call does nothing.

        Raises:
            InputError: If there is no such network, or its file cannot be read, has another digest or other weights.
        """
        if self.fingerprint is None:
            self.network = self.make_network().eval()
            self.fingerprint = fingerprint_of(self, **self.settings)

    def make_network(self) -> nn.Module:
        """Return the network, with its weights."""
        network = build_network(self.settings['network'])
        if self.checkpoint is not None:
            Checkpoint.open(self.checkpoint, sha256=self.sha256).load_into(network)
        return network

    def forward(self, images: Tensor) -> Features:
        """Return the features of `images`, uint8 (N, C, H, W), and their logits on request."""
        assert self.network is not None  # extract() checks that init_weights() was called
        prepared = self.prepare(images)
        try:
            output = self.network(prepared, **self.settings['arguments'])
        except torch.cuda.OutOfMemoryError:  # with fewer images, it may fit
            raise
        except (RuntimeError, TypeError) as error:  # such as an operation without an implementation for a dtype
            raise InputError(
                f'the network of {type(self).__name__} cannot take images of shape {tuple(prepared.shape)}, '
                f'{prepared.dtype}: {error}. size, value_range and arguments say what it gets.'
            ) from error
        features = taken(output, self.settings['features'], 'features', len(images))
        if self.settings['logits'] is None:
            return Features(features)
        return Features(features, taken(output, self.settings['logits'], 'logits', len(images)))

    def prepare(self, images: Tensor) -> Tensor:
        """Convert `images` (N, C, H, W) to the input of the network."""
        settings = self.settings
        x = as_rgb(images) if settings['rgb'] else images
        if settings['size'] is not None:
            x = F.interpolate(x.float(), settings['size'], mode='bilinear', antialias=True)
        if settings['value_range'] is not None:
            low, high = settings['value_range']
            x = low + (high - low) / 255 * x.float()
        for name, operation in (('mean', torch.sub), ('std', torch.div)):
            if settings[name] is not None:
                x = operation(x, x.new_tensor(settings[name], dtype=torch.float32).view(-1, 1, 1))
        return x


def build_network(config: dict) -> nn.Module:
    """Build the network of `config`; raise an InputError if it cannot be built."""
    try:
        network = MODELS.build(config)
    except InputError:
        raise
    except (AttributeError, ImportError, KeyError, ValueError) as error:  # of the network, about its settings
        raise InputError(f'the network {config["type"]!r} cannot be built: {error}') from error
    if not isinstance(network, nn.Module):
        raise InputError(f'{config["type"]!r} is no network but a {type(network).__name__}.')
    return network


def taken(output: Any, place: Place | None, name: str, number: int) -> Tensor:
    """Return the value at `place` in the output of a network, as float32, (N, D).

    Args:
        output (Any): The output of the network.
        place (int | str, optional): A position, a key or the name of an attribute; None for the output itself.
        name (str): The argument with the place.
        number (int): N, the number of images.

    Raises:
        InputError: If there is no tensor with a row for each image.
    """
    found = output
    if place is not None:
        try:
            if isinstance(place, str) and not isinstance(output, Mapping):
                found = getattr(output, place)
            else:
                found = output[place]
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise InputError(
                f'{name}={place!r} names nothing in what the network returns: {described(output)}.'
            ) from error
    if not isinstance(found, Tensor) or found.ndim < 2 or len(found) != number:
        raise InputError(
            f'{name}={place!r} should be a tensor with a row for each of {number} images, got '
            f'{described(found)}. Name the position, key or attribute where they are.'
        )
    return found.flatten(1).float()


def described(output: Any) -> str:
    """Describe the output of a network in a few words."""
    if isinstance(output, Tensor):
        return f'a tensor {tuple(output.shape)}'
    if isinstance(output, Mapping):
        return f'a mapping with the keys {list(output)}'
    if isinstance(output, (tuple, list)):
        return f'{len(output)} things in a {type(output).__name__}'
    return f'an object of type {type(output).__name__}'
