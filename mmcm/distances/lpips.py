"""LPIPS, a distance between the features of VGG16 (Zhang et al., 2018, arXiv 1801.03924, Eq. 1).

Version 0.1 of its weights, in the form that Song et al. (2023) train consistency models with: the released code uses
the LPIPS of piq with `replace_pooling=True`, whose VGG16 pools by averages, not by maxima. The values therefore differ
from those of the package lpips.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcm.checkpoints import resolve_checkpoint
from mmcm.checkpoints.read import read_checkpoint
from mmcm.checkpoints.weights import check_finite
from mmcm.distances.resize import resize
from mmcm.registry import DISTANCES
from mmcm.utils.errors import InputError
from mmcm.utils.mmengine_bases import BaseModule

VGG16 = 'https://download.pytorch.org/models/vgg16-397923af.pth'
HEADS = 'https://github.com/photosynthesis-team/photosynthesis.metrics/releases/download/v0.4.0/lpips_weights.pt'
# piq publishes no digest of its file; the download records the first one.
PUBLISHED_SHA256 = {VGG16: '397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0'}

CHANNELS = (64, 128, 256, 512, 512)  # of the five blocks
DEPTHS = (2, 2, 3, 3, 3)  # convolutions of each block
EPS = 1e-10  # added to the norm of the features
NARROW, SIZE = 256, 224  # images narrower than the first are resized to the second, pixels


@DISTANCES.register_module()
class LPIPS(BaseModule):
    """Difference of unit-length VGG16 features, squared, weighted by channel, averaged over space, summed over blocks.

    Greyscale images are compared as RGB images with three equal channels. Images narrower than 256 pixels are resized
    to 224 x 224 first; see `prepare`.

    The weights are constants. `init_weights` reads them, and they are part of no checkpoint. Each of the two files is
    given by its path or its http or https address; downloads are cached, see `mmcm.checkpoints.resolve_checkpoint`.

    Args:
        backbone (str | Path): Convolutions of VGG16, a state dict with torchvision's keys (`features.0.weight`, ...);
            others are ignored. 553 MB by default.
        heads (str | Path): Weight of each channel of each block: a list of five tensors, as piq has it, or a state dict
            with the keys of the package lpips (`lin0.model.1.weight`, ...).
        backbone_sha256 (str, optional): Digest that `backbone` must have, in hexadecimal digits. torchvision's own file
            is always checked.
        heads_sha256 (str, optional): Digest that `heads` must have.
    """

    is_init: bool
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: str | Path = VGG16,
        heads: str | Path = HEADS,
        backbone_sha256: str | None = None,
        heads_sha256: str | None = None,
    ) -> None:
        super().__init__()
        self.sources = dict(backbone=str(backbone), heads=str(heads))
        self.digests = dict(backbone=backbone_sha256, heads=heads_sha256)
        self.blocks = nn.ModuleList()
        self.heads = nn.ModuleList(Head(channels) for channels in CHANNELS)
        in_channels = 3
        for channels, depth in zip(CHANNELS, DEPTHS):
            block = nn.Sequential(nn.AvgPool2d(2)) if len(self.blocks) else nn.Sequential()
            for _ in range(depth):
                block.append(Convolution(in_channels, channels))
                in_channels = channels
            self.blocks.append(block)
        # Of the images of ImageNet, for each channel in [0, 1].
        for name, values in (('mean', (0.485, 0.456, 0.406)), ('std', (0.229, 0.224, 0.225))):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(3, 1, 1), persistent=False)

    def init_weights(self) -> None:
        """Read the weights, and download what is not on this machine. The second call does nothing.

        Raises:
            InputError: If a file cannot be downloaded or read, has another digest, or other content. The message names
                the argument, and where to put a file that cannot be downloaded.
        """
        if self.is_init:
            return
        self._read('backbone', 'the convolutions of VGG16', dict(self._convolutions()))
        self._read(
            'heads',
            'the weights of the channels',
            {f'lin{i}.model.1.weight': head.weight for i, head in enumerate(self.heads) if isinstance(head, Head)},
        )
        self.is_init = True

    def _convolutions(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the tensors under their names in torchvision's VGG16, which also counts ReLUs and poolings."""
        index = 0
        for block in self.blocks:
            for layer in block.children():
                if isinstance(layer, Convolution):
                    yield f'features.{index}.weight', layer.weight
                    yield f'features.{index}.bias', layer.bias
                    index += 1
                index += 1

    def _read(self, argument: str, content: str, expected: Mapping[str, Tensor]) -> None:
        source = self.sources[argument]
        fix = f'set model.objective.distance.{argument} to a file that holds {content}'
        try:
            path = resolve_checkpoint(source, sha256=self.digests[argument] or PUBLISHED_SHA256.get(source))
            found = named_tensors(read_checkpoint(path, mapped=True))
        except InputError as error:
            raise InputError(f'LPIPS needs {content}: {error}; or {fix}') from error
        problems = [f'{name} is missing' for name in expected if name not in found]
        problems += [
            f'{name} is of shape {tuple(found[name].shape)} instead of {tuple(tensor.shape)}'
            for name, tensor in expected.items()
            if name in found and found[name].shape != tensor.shape
        ]
        if problems:
            more = f' and {len(problems) - 3} more' if len(problems) > 3 else ''
            raise InputError(
                f'LPIPS needs {content}, which {path} does not hold: {", ".join(problems[:3])}{more}; {fix}'
            )
        check_finite({name: found[name] for name in expected}, path)
        for name, tensor in expected.items():
            tensor.copy_(found[name])

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Compare `a` and `b` (N, 1 or 3, H, W), in [-1, 1]: (N,).

        Raises:
            InputError: If the weights have not been read, or for another number of channels.
        """
        return self.compare(prepare(a), prepare(b))

    def compare(self, a: Tensor, b: Tensor) -> Tensor:
        """Compare `a` and `b` (N, 3, H, W), in [0, 1], at their size, 16 x 16 pixels or more: (N,).

        Raises:
            InputError: If the weights have not been read.
        """
        if not self.is_init:
            raise InputError(
                'LPIPS has no weights yet: call init_weights() of the model, or of the distance; training '
                'through a Runner does.'
            )
        a, b = ((images - self.mean) / self.std for images in (a, b))
        distance: Any = 0.0
        for block, head in zip(self.blocks, self.heads):
            # Block by block: nothing is kept of a b without gradient, the target of a consistency loss.
            a, b = block(a), block(b)
            distance = distance + head((unit_length(a) - unit_length(b)).square())
        return distance


def prepare(images: Tensor) -> Tensor:
    """Return `images` (N, 1 or 3, H, W) in [-1, 1] as LPIPS sees them: (N, 3, H', W') in [0, 1].

    As in the released training code, images narrower than 256 pixels become 224 x 224.

    Raises:
        InputError: For another number of channels.
    """
    if images.shape[1] not in (1, 3):
        raise InputError(
            f'LPIPS compares RGB or greyscale images, got {images.shape[1]} channels. Choose L2 or '
            'PseudoHuber for others.'
        )
    if images.shape[-1] < NARROW:
        images = resize(images, SIZE)
    return ((images + 1) / 2).expand(-1, 3, -1, -1)


def unit_length(features: Tensor) -> Tensor:
    """Return `features` (N, C, H, W) divided by their norm over the channels, at least in single precision."""
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    # Unlike the root of a sum, vector_norm has a gradient of zero, not NaN, where all features vanish.
    return features / (torch.linalg.vector_norm(features, dim=1, keepdim=True) + EPS)


def named_tensors(content: Any) -> dict[str, Tensor]:
    """Return the tensors of a file by name; those of a list get the names of the package lpips.

    Heads (1, C, 1, 1) become (C,).
    """
    if isinstance(content, (list, tuple)):
        content = {f'lin{i}.model.1.weight': value for i, value in enumerate(content)}
    if not isinstance(content, Mapping):
        return {}
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    return {name: value.flatten() if str(name).startswith('lin') else value for name, value in tensors.items()}


class Convolution(nn.Module):
    """3 x 3 convolution and ReLU with constant weights."""

    weight: Tensor
    bias: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        weight = torch.zeros(out_channels, in_channels, 3, 3, dtype=torch.float32)
        self.register_buffer('weight', weight, persistent=False)
        self.register_buffer('bias', torch.zeros(out_channels, dtype=torch.float32), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` (N, C_in, H, W) to (N, C_out, H, W)."""
        return F.relu(F.conv2d(x, self.weight, self.bias, padding=1), inplace=True)


class Head(nn.Module):
    """Weighted sum over the channels and average over space, with constant weights."""

    weight: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer('weight', torch.zeros(channels, dtype=torch.float32), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` (N, C, H, W) to (N,)."""
        return (x.mean((2, 3)) * self.weight).sum(1)
