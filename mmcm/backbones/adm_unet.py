"""The U-Net of ADM (Dhariwal & Nichol, 2021, arXiv 2105.05233), as used by the released consistency models.

Modules are nested and named so that the keys of `state_dict()` are those of the released checkpoints, which therefore
load with no renaming. The attention's `qkv` holds first all queries, then all keys, then all values.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcm.backbones.conditioning import check_labels, null_label_of
from mmcm.backbones.recompute import run_block
from mmcm.registry import MODELS
from mmcm.utils.checks import check_choice, check_count
from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import Size, height_and_width, plain_size
from mmcm.utils.mmengine_bases import BaseModule
from mmcm.utils.precision import without_autocast

Layer = TypeVar('Layer', bound=nn.Module)
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = dict(silu=nn.SiLU, gelu=nn.GELU, mish=nn.Mish, relu=nn.ReLU)


@MODELS.register_module()
class ADMUNet(BaseModule):
    """F(x, t): a U-Net with residual blocks and attention, conditioned on the noise level and, if asked for, a class.

    The network computes in the dtype of its weights (or under autocast, but for the embedding of t and the conditions)
    and returns the dtype of `x`. In the memory format `channels_last` the attention works on views of the feature maps.

    Args:
        image_size (int | Sequence[int]): Size of the images in pixels: the side of squares, or (height, width). Each
            level after the first halves it.
        base_channels (int): Width of the first level, a multiple of `norm_groups`.
        num_res_blocks (int): Residual blocks per level on the way down; one more on the way up.
        attention_resolutions (Sequence[int]): Sizes in pixels of the feature maps that get attention: their shorter
            sides, so that a network for 64 x 96 pixels has the layers of one for 64 x 64.
        channel_mult (Sequence[int]): Width of each level in units of `base_channels`; each level halves the size.
        in_channels (int): Channels of x.
        out_channels (int): Channels of the output.
        num_classes (int, optional): Number of labels; None for an unconditional network.
        num_heads (int): Attention heads, where `num_head_channels` is None.
        num_head_channels (int, optional): Channels of an attention head; fixes the number of heads.
        scale_shift_norm (bool): Whether the embedding scales and shifts the normalised features (AdaGN), or is added to
            the features before the normalisation.
        resblock_updown (bool): Whether residual blocks change the size, or a strided convolution and a convolution
            after nearest-neighbour upsampling.
        dropout (float): Share of features dropped in each residual block.
        dropout_resolution (int, optional): Largest size of the feature maps that get dropout, in the pixels of
            `attention_resolutions`; in a block that changes the size, the size after that. None is all of them.
        use_checkpoint (bool): Whether to recompute the blocks' activations in the backward pass: less memory, one more
            forward pass. It has no effect where no gradients are asked for, nor in forward-mode differentiation
            (`torch.func.jvp`), whose tangents cannot be recomputed.
        norm_groups (int): Groups of every group normalisation.
        norm_eps (float): What every group normalisation adds to the variance.
        activation (str): In the residual blocks: 'silu', 'gelu', 'mish' or 'relu'. Elsewhere it is SiLU.
        patch_size (int): Side p of the square patches that enter and leave the network as p^2 values per channel, so
            that the first level has 1 / p of the size of the image (Hoogeboom et al., 2023, arXiv 2301.11093, Section
            3.2). Wide levels of a small size use a processor better than narrow ones of the full size.
        augment_dim (int, optional): Number of labels of an augmentation of the training images; see `EDMAugmentation`.
        null_class (bool): Whether the embedding of the labels has one more row, of index `num_classes`: the label of
            an image whose class is not given, as label dropout and guidance need it.
        num_conditions (int): Further numbers that condition the network, such as the second time of a flow map. Each
            has an embedding like that of t, whose last layer is zero to begin with.
        init_cfg (dict, optional): MMEngine's initialisation config.
    """

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
        num_heads: int = 1,
        num_head_channels: int | None = None,
        scale_shift_norm: bool = False,
        resblock_updown: bool = False,
        dropout: float = 0.0,
        use_checkpoint: bool = False,
        norm_groups: int = 32,
        norm_eps: float = 1e-5,
        activation: str = 'silu',
        patch_size: int = 1,
        augment_dim: int | None = None,
        null_class: bool = False,
        num_conditions: int = 0,
        dropout_resolution: int | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        check_count('patch_size', patch_size)
        if not channel_mult:
            raise InputError('channel_mult is empty: it needs the width of at least one level, in base_channels.')
        if min(channel_mult) <= 0:
            raise InputError(f'channel_mult has to be of positive numbers, got {tuple(channel_mult)}.')
        image_size = plain_size(image_size, 'image_size')
        check_halvings(image_size, channel_mult, patch_size)
        check_count('norm_groups', norm_groups)
        check_choice('activation', activation, tuple(ACTIVATIONS))
        check_count('num_conditions', num_conditions, least=0)
        if dropout_resolution is not None:
            check_count('dropout_resolution', dropout_resolution)
        if base_channels < 1 or base_channels % norm_groups:
            raise InputError(
                f'base_channels has to be a positive multiple of {norm_groups} (the groups of the '
                f'normalisation), got {base_channels}.'
            )
        self.image_size = image_size
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.num_classes = num_classes
        self.null_label = null_label_of(num_classes, null_class)
        self.num_conditions = num_conditions
        self.base_channels = base_channels
        self.use_checkpoint = use_checkpoint
        self.patch_size = patch_size
        self.augment_dim = augment_dim
        self.activation = ACTIVATIONS[activation]()
        embed_channels = 4 * base_channels
        norm = partial(nn.GroupNorm, norm_groups, eps=norm_eps)

        def res_block(channels, out, **resample):
            size_after = size // 2 if 'down' in resample else size * 2 if 'up' in resample else size
            drops = dropout_resolution is None or size_after <= dropout_resolution
            rate = dropout if drops else 0.0
            return ResBlock(
                channels, out, embed_channels, rate, scale_shift_norm, norm, ACTIVATIONS[activation], **resample
            )

        def attention(channels):
            return AttentionBlock(channels, num_heads, num_head_channels, norm)

        self.time_embed = nn.Sequential(
            nn.Linear(base_channels, embed_channels), nn.SiLU(), nn.Linear(embed_channels, embed_channels)
        )
        if num_classes is not None:
            self.label_emb = nn.Embedding(num_classes + null_class, embed_channels)
        if num_conditions:
            self.condition_embed = nn.ModuleList(
                nn.Sequential(
                    nn.Linear(base_channels, embed_channels),
                    nn.SiLU(),
                    zeroed(nn.Linear(embed_channels, embed_channels)),
                )
                for _ in range(num_conditions)
            )

        if augment_dim is not None:
            check_count('augment_dim', augment_dim)
            self.augment_emb = zeroed(nn.Linear(augment_dim, base_channels, bias=False))

        widths = [base_channels * mult for mult in channel_mult]
        last = len(widths) - 1
        channels, size = widths[0], min(height_and_width(image_size)) // patch_size
        self.input_blocks = nn.ModuleList([Block(nn.Conv2d(in_channels * patch_size**2, channels, 3, padding=1))])
        skips = [channels]
        for level, width in enumerate(widths):
            for _ in range(num_res_blocks):
                layers = [res_block(channels, width)]
                if size in attention_resolutions:
                    layers.append(attention(width))
                self.input_blocks.append(Block(*layers))
                channels = width
                skips.append(channels)
            if level < last:
                self.input_blocks.append(
                    Block(res_block(channels, channels, down=True) if resblock_updown else Downsample(channels))
                )
                skips.append(channels)
                size //= 2

        self.middle_block = Block(res_block(channels, channels), attention(channels), res_block(channels, channels))

        self.output_blocks = nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            for index in range(num_res_blocks + 1):
                layers = [res_block(channels + skips.pop(), width)]
                channels = width
                if size in attention_resolutions:
                    layers.append(attention(channels))
                if level and index == num_res_blocks:
                    layers.append(res_block(channels, channels, up=True) if resblock_updown else Upsample(channels))
                    size *= 2
                self.output_blocks.append(Block(*layers))

        last_conv = nn.Conv2d(channels, out_channels * patch_size**2, 3, padding=1)
        self.out = nn.Sequential(norm(channels), nn.SiLU(), zeroed(last_conv))

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        labels: Tensor | None = None,
        augment_labels: Tensor | None = None,
        conditions: Tensor | None = None,
    ) -> Tensor:
        """Evaluate the network.

        Args:
            x (Tensor): Images, (N, C, H, W).
            t (Tensor): Conditioning of the noise level, (N,); 250 log sigma for the released weights.
            labels (Tensor, optional): Class indices, (N,), integers, or shares of the classes, (N, K), floating point;
                needed exactly when the network has classes.
            augment_labels (Tensor, optional): How the images were augmented, (N, augment_dim); zeros if None.
            conditions (Tensor, optional): The further numbers, (N, `num_conditions`), in the units of `t`; needed
                exactly when the network has some.

        Returns:
            Tensor: Output, (N, C_out, H, W), in the dtype of `x`.
        """
        check_labels(labels, self.num_classes)
        if (0 if conditions is None else conditions.shape[1]) != self.num_conditions:
            raise InputError(
                f'the network takes {self.num_conditions} further conditions, got '
                f'{None if conditions is None else conditions.shape[1]}: set num_conditions of the backbone to the '
                'number that its denoiser gives (1 for a FlowMapDenoiser, 4 if guided, none for the others).'
            )
        weight: Any = self.time_embed[0].weight  # where FSDP shards parameters, a tensor
        dtype = weight.dtype
        if augment_labels is None and self.augment_dim is not None and self.training:
            augment_labels = t.new_zeros(len(t), self.augment_dim)  # DDP wants a gradient for every parameter
        # Not in the dtype of autocast: all blocks depend on it, and rounding hides small changes of t, from which
        # continuous-time objectives learn (Lu & Song, 2024, arXiv 2410.11081). The layers are small.
        with without_autocast(x.device):
            embedding = self._embedding(t, labels, augment_labels, conditions, dtype)

        h = x.to(dtype)
        if self.patch_size > 1:
            h = F.pixel_unshuffle(h, self.patch_size)
        skips = []
        for block in self.input_blocks:
            h = run_block(block, self.use_checkpoint, h, embedding)
            skips.append(h)
        h = run_block(self.middle_block, self.use_checkpoint, h, embedding)
        for block in self.output_blocks:
            h = run_block(block, self.use_checkpoint, torch.cat([h, skips.pop()], dim=1), embedding)
        h = self.out(h)
        if self.patch_size > 1:
            h = F.pixel_shuffle(h, self.patch_size)
        return h.to(x.dtype)

    def _embedding(
        self,
        t: Tensor,
        labels: Tensor | None,
        augment_labels: Tensor | None,
        conditions: Tensor | None,
        dtype: torch.dtype,
    ) -> Tensor:
        """Return the sum of the embeddings, (N, E), of `dtype`, with the activation that all blocks begin with."""
        embedding = sinusoidal_embedding(t, self.base_channels).to(dtype)
        if augment_labels is not None:  # before the layers of the noise level, as in EDM
            embedding = embedding + self.augment_emb(augment_labels.to(dtype))
        embedding = self.time_embed(embedding)
        if labels is not None:
            if labels.is_floating_point():  # shares are of classes alone
                embedding = embedding + labels.to(dtype) @ self.label_emb.weight[: self.num_classes]
            else:
                embedding = embedding + self.label_emb(labels)
        if conditions is not None:
            for embed, condition in zip(self.condition_embed, conditions.unbind(1)):
                embedding = embedding + embed(sinusoidal_embedding(condition, self.base_channels).to(dtype))
        return self.activation(embedding)  # each residual block begins with it: once is enough


def check_halvings(image_size: int | tuple[int, int], channel_mult: Sequence[int], patch_size: int = 1) -> None:
    """Raise an InputError unless images of this size can be halved once for each level after the first.

    With patches, their number along each side is halved.
    """
    halvings = len(channel_mult) - 1
    factor = patch_size * 2**halvings
    sides = height_and_width(image_size)
    if any(side % factor for side in sides):
        smaller, larger = (
            plain_size([max(1, round_(side / factor)) * factor for side in sides]) for round_ in (math.floor, math.ceil)
        )
        nearest = f'{smaller} or {larger}' if smaller != larger else f'{larger}'
        size = f'image_size {image_size}{f" / patch_size {patch_size}" if patch_size > 1 else ""}'
        raise InputError(
            f'{size} cannot be halved {halvings} times, as the {len(channel_mult)} levels of '
            f'channel_mult {tuple(channel_mult)} need: height and width have to be multiples of {factor}. '
            f'Take {nearest}, or shorten channel_mult.'
        )


def sinusoidal_embedding(t: Tensor, channels: int, max_period: float = 10000.0, endpoint: bool = False) -> Tensor:
    """Return cosines, then sines, of `t` (N,) at `channels` / 2 geometrically spaced frequencies: (N, channels).

    The frequencies begin with 1; with `endpoint`, 1 / `max_period` is the last one, and otherwise the one after that.
    """
    half = channels // 2
    steps = torch.arange(half, dtype=torch.float32, device=t.device)
    frequencies = torch.exp(-math.log(max_period) * steps / (half - endpoint))
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def zeroed(module: Layer) -> Layer:
    """Set the parameters of `module` to zero, so that the branch it ends starts as the identity, and return it."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class Block(nn.Sequential):
    """Layers in a row, of which the residual blocks also take the embedding."""

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:  # type: ignore[override]
        """Apply the layers to `h` (N, C, H, W), with `embedding` (N, E)."""
        for layer in self:
            h = layer(h, embedding) if isinstance(layer, ResBlock) else layer(h)
        return h


class ResBlock(nn.Module):
    """A residual block that takes the noise level in, and may halve (`down`) or double (`up`) the size."""

    def __init__(
        self,
        channels: int,
        out_channels: int,
        embed_channels: int,
        dropout: float,
        scale_shift_norm: bool,
        norm: Callable[[int], nn.Module],
        activation: Callable[[], nn.Module],
        up: bool = False,
        down: bool = False,
    ) -> None:
        super().__init__()
        self.scale_shift_norm = scale_shift_norm
        self.resample = nearest_upsample if up else halve if down else None
        self.in_layers = nn.Sequential(norm(channels), activation(), nn.Conv2d(channels, out_channels, 3, padding=1))
        # ADMUNet applies the activation in front once for all blocks; Identity keeps the released key, emb_layers.1.
        self.emb_layers = nn.Sequential(
            nn.Identity(), nn.Linear(embed_channels, out_channels * (2 if scale_shift_norm else 1))
        )
        self.out_layers = nn.Sequential(
            norm(out_channels),
            activation(),
            nn.Dropout(dropout),
            zeroed(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
        )
        self.skip_connection = nn.Identity() if channels == out_channels else nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Apply the block to `x` (N, C, H, W), with `embedding` (N, E)."""
        norm, activation, conv = self.in_layers
        h = activation(norm(x))
        if self.resample is not None:
            h, x = self.resample(h), self.resample(x)
        h = conv(h)
        modulation = self.emb_layers(embedding)[:, :, None, None]
        norm, *rest = self.out_layers
        if self.scale_shift_norm:
            scale, shift = modulation.chunk(2, dim=1)
            h = torch.addcmul(shift, norm(h), 1 + scale)
        else:
            h = norm(h + modulation)
        for layer in rest:
            h = layer(h)
        return self.skip_connection(x) + h


class AttentionBlock(nn.Module):
    """Self-attention among the positions of a feature map, added to its input."""

    def __init__(
        self, channels: int, num_heads: int, num_head_channels: int | None, norm: Callable[[int], nn.Module]
    ) -> None:
        super().__init__()
        if channels % (num_head_channels or num_heads):
            raise InputError(
                f'{channels} channels cannot be shared out among attention heads: got num_heads '
                f'{num_heads}, num_head_channels {num_head_channels}; one of them has to divide it.'
            )
        self.num_heads = channels // num_head_channels if num_head_channels else num_heads
        self.norm = norm(channels)
        # Convolutions of width 1 by the shape of their weights (the released ones); applied as linear maps.
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj_out = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Apply attention to `x` (N, C, H, W)."""
        batch, channels, height, width = x.shape
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # (N, T, C): a view, if x is channels_last
        qkv = F.linear(tokens, self.qkv.weight.flatten(1), self.qkv.bias)
        q, k, v = qkv.view(batch, height * width, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v)  # (N, heads, T, d)
        tokens = F.linear(attended.transpose(1, 2).flatten(2), self.proj_out.weight.flatten(1), self.proj_out.bias)
        return x + tokens.transpose(1, 2).reshape(batch, channels, height, width)


class Downsample(nn.Module):
    """Halve the size by a strided convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Halve the size of `x` (N, C, H, W)."""
        return self.op(x)


class Upsample(nn.Module):
    """Double the size by repeating pixels, then convolve."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Double the size of `x` (N, C, H, W)."""
        return self.conv(nearest_upsample(x))


def nearest_upsample(x: Tensor) -> Tensor:
    """Repeat each pixel of `x` (N, C, H, W) in a square of 2 x 2."""
    return F.interpolate(x, scale_factor=2.0, mode='nearest')


def halve(x: Tensor) -> Tensor:
    """Average `x` (N, C, H, W) over squares of 2 x 2."""
    return F.avg_pool2d(x, 2)
