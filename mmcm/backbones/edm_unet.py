"""What the U-Nets of EDM have in common (Karras et al., 2022, arXiv 2206.00364, Appendix C.2): levels of blocks."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmcm.backbones.adm_unet import check_halvings
from mmcm.backbones.conditioning import check_labels, null_label_of
from mmcm.backbones.edm_blocks import GROUP_CHANNELS, ResampledConv2d, UNetBlock
from mmcm.backbones.recompute import run_block
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import Size, plain_size
from mmcm.utils.mmengine_bases import BaseModule
from mmcm.utils.precision import without_autocast


class EDMUNet(BaseModule):
    """F(x, t) as `SongUNet` and `DhariwalUNet` compute it, whose classes say how they differ.

    The network computes in the dtype of its weights (or under autocast) and returns the dtype of `x`. The names of its
    weights are those of the released networks, without the `model.` of EDM's preconditioning in front.

    Args:
        image_size (int): Side of the images in pixels, which are square. Each level after the first halves it.
        base_channels (int): Width of the first level in units of `channel_mult`, a multiple of 4.
        num_res_blocks (int): Residual blocks per level on the way down; one more on the way up.
        attention_resolutions (Sequence[int]): Sizes in pixels of the feature maps that get attention.
        channel_mult (Sequence[int]): Width of each level in units of `base_channels`.
        in_channels (int): Channels of x.
        out_channels (int): Channels of the output.
        num_classes (int, optional): Number of labels; None for an unconditional network.
        dropout (float): Share of features dropped in each residual block.
        augment_dim (int, optional): Number of labels of an augmentation of the training images; see `EDMAugmentation`.
        null_class (bool): Whether the label `num_classes` stands for an image whose class is not given, as label
            dropout and guidance need it. The network gets zeros for it, so that no weight depends on this setting.
        use_checkpoint (bool): Whether to recompute the blocks' activations in the backward pass; see `ADMUNet`.
        dropout_resolution (int, optional): Largest size of the feature maps that get dropout; None is all of them.
        init_cfg (dict, optional): MMEngine's initialisation config.
    """

    attention_everywhere: bool  # on the way up: in all blocks of a level with attention, or in the last one alone
    num_conditions = 0  # numbers beside t that the network takes

    def __init__(
        self,
        image_size: Size,
        base_channels: int,
        num_res_blocks: int,
        attention_resolutions: Sequence[int],
        channel_mult: Sequence[int],
        in_channels: int = 3,
        out_channels: int = 3,
        num_classes: int | None = None,
        dropout: float = 0.0,
        augment_dim: int | None = None,
        null_class: bool = False,
        use_checkpoint: bool = False,
        dropout_resolution: int | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        image_size = plain_size(image_size, 'image_size')
        if not isinstance(image_size, int):
            raise InputError(f'a {type(self).__name__} is for square images, got image_size {image_size}.')
        check_channels(base_channels, channel_mult)
        check_halvings(image_size, channel_mult)
        for name, number in (('augment_dim', augment_dim), ('dropout_resolution', dropout_resolution)):
            if number is not None:
                check_count(name, number)
        self.image_size = image_size
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.num_classes = num_classes
        self.null_label = null_label_of(num_classes, null_class)
        self.base_channels = base_channels
        self.num_res_blocks = num_res_blocks
        self.attention_resolutions = tuple(attention_resolutions)
        self.widths = [base_channels * mult for mult in channel_mult]
        self.embed_channels = 4 * base_channels
        self.dropout = dropout
        self.dropout_resolution = dropout_resolution
        self.augment_dim = augment_dim
        self.use_checkpoint = use_checkpoint

    @abstractmethod
    def _block(
        self, channels: int, out_channels: int, attention: bool, dropout: float, up: bool = False, down: bool = False
    ) -> UNetBlock:
        """Return a block of the network."""

    @abstractmethod
    def _embedding(self, t: Tensor, labels: Tensor | None, augment_labels: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Return the embedding (N, E) that all blocks take."""

    @abstractmethod
    def _output(self, h: Tensor) -> Tensor:
        """Return the output (N, C_out, H, W) for the features `h` (N, C, H, W) of the last block."""

    def _build_levels(self, residual_filter: Sequence[int] | None = None) -> None:
        """Make the blocks of all levels, `enc` and `dec`.

        Args:
            residual_filter (Sequence[int], optional): Filter of a pyramid of the image that is added to the features
                at the beginning of each level after the first (Song et al., 2021); None for no pyramid.
        """
        self.enc = nn.ModuleDict()
        channels, pyramid = self.widths[0], self.in_channels
        skips = []
        for level, width in enumerate(self.widths):
            side = self.image_size >> level
            if level == 0:
                channels = self.base_channels
                self.enc[named(side, 'conv')] = nn.Conv2d(self.in_channels, channels, 3, padding=1)
            else:
                self.enc[named(side, 'down')] = self._level_block(side, channels, channels, False, down=True)
                if residual_filter is not None:
                    self.enc[named(side, 'aux_residual')] = ResampledConv2d(
                        pyramid, channels, 3, residual_filter, down=True, filter_last=True
                    )
                    pyramid = channels
            skips.append(channels)
            for index in range(self.num_res_blocks):
                attention = side in self.attention_resolutions
                self.enc[named(side, f'block{index}')] = self._level_block(side, channels, width, attention)
                channels = width
                skips.append(channels)
        self.dec = nn.ModuleDict()
        for level, width in reversed(list(enumerate(self.widths))):
            side = self.image_size >> level
            if level == len(self.widths) - 1:
                self.dec[named(side, 'in0')] = self._level_block(side, channels, channels, True)
                self.dec[named(side, 'in1')] = self._level_block(side, channels, channels, False)
            else:
                self.dec[named(side, 'up')] = self._level_block(side, channels, channels, False, up=True)
            for index in range(self.num_res_blocks + 1):
                here = self.attention_everywhere or index == self.num_res_blocks
                attention = here and side in self.attention_resolutions
                block = self._level_block(side, channels + skips.pop(), width, attention)
                self.dec[named(side, f'block{index}')] = block
                channels = width

    def _level_block(
        self, side: int, channels: int, width: int, attention: bool, up: bool = False, down: bool = False
    ) -> UNetBlock:
        drops = self.dropout_resolution is None or side <= self.dropout_resolution
        return self._block(channels, width, attention, self.dropout if drops else 0.0, up, down)

    def forward(
        self, x: Tensor, t: Tensor, labels: Tensor | None = None, augment_labels: Tensor | None = None
    ) -> Tensor:
        """Evaluate the network.

        Args:
            x (Tensor): Images, (N, C, H, W).
            t (Tensor): Conditioning of the noise level, (N,); log(sigma) / 4 for the released weights.
            labels (Tensor, optional): Class indices, (N,), integers, or shares of the classes, (N, K), floating point;
                needed exactly when the network has classes.
            augment_labels (Tensor, optional): How the images were augmented, (N, augment_dim); zeros if None.

        Returns:
            Tensor: Output, (N, C_out, H, W), in the dtype of `x`.
        """
        check_labels(labels, self.num_classes)
        map_layer0: Any = self.map_layer0  # where FSDP shards parameters, its weight is a tensor
        dtype = map_layer0.weight.dtype
        if augment_labels is None and self.augment_dim is not None and self.training:
            augment_labels = t.new_zeros(len(t), self.augment_dim)  # DDP wants a gradient for every parameter
        with without_autocast(x.device):  # as in ADMUNet: rounding hides small changes of t
            embedding = self._embedding(t, labels, augment_labels, dtype)
        h = pyramid = x.to(dtype)
        skips: list[Tensor] = []
        for layer in self.enc.values():
            if isinstance(layer, ResampledConv2d):
                h = skips[-1] = pyramid = (h + layer(pyramid)) * math.sqrt(0.5)
                continue
            h = self._run(layer, h, embedding)
            skips.append(h)
        for name, layer in self.dec.items():
            if '_block' in name:
                h = torch.cat([h, skips.pop()], dim=1)
            if '_aux' not in name:
                h = self._run(layer, h, embedding)
        return self._output(h).to(x.dtype)

    def _run(self, layer: nn.Module, h: Tensor, embedding: Tensor) -> Tensor:
        if isinstance(layer, nn.Conv2d):
            return layer(h)
        return run_block(layer, self.use_checkpoint, h, embedding)


def named(side: int, part: str) -> str:
    """Return the name of a part of a level, such as `32x32_block0`."""
    return f'{side}x{side}_{part}'


def check_channels(base_channels: int, channel_mult: Sequence[int]) -> None:
    """Raise an InputError unless the channels of all levels can be shared out among the groups of a normalisation."""
    check_count('base_channels', base_channels)
    if not channel_mult or min(channel_mult) <= 0:
        raise InputError(f'channel_mult has to be of positive numbers, one for each level, got {tuple(channel_mult)}.')
    if base_channels % GROUP_CHANNELS:
        raise InputError(
            f'base_channels has to be a multiple of {GROUP_CHANNELS}, the channels of a group of the normalisation, '
            f'got {base_channels}.'
        )
