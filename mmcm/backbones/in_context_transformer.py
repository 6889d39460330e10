"""What the transformers of pMF and iMF share: patches, tokens of the conditions, and two heads on a common trunk.

The networks are those of Lu et al. (2026, arXiv 2601.22158) and Geng et al. (2025, arXiv 2512.02012, Section 4.3).
Modules are nested and named so that the keys of `state_dict()` are those of the released checkpoints.
"""

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from mmcm.backbones.conditioning import check_labels
from mmcm.backbones.recompute import run_block
from mmcm.backbones.transformer_layers import (
    FinalLayer,
    LabelEmbedding,
    NumberEmbedding,
    TransformerBlock,
    normal_parameter,
)
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import Size, height_and_width, plain_size
from mmcm.utils.mmengine_bases import BaseModule

GAIN = 0.32  # of the weights of the blocks, in 1 / sqrt(fan-in)


class InContextTransformer(BaseModule):
    """F(x, conditions): a transformer over image patches, with class, step and guidance as further tokens.

    The conditions are t - r, 1 - 1 / w and the ends of the interval of guidance, as a guided `FlowMapDenoiser` gives
    them. The time t itself is no input. The network computes in the dtype of its weights (or under autocast) and
    returns the dtype of `x`.

    Args:
        image_size (int | Sequence[int]): Size of the images: the side of squares, or (height, width); multiples of
            `patch_size`.
        patch_size (int): Side of the square patches.
        embed_dims (int): Width of the tokens, C.
        depth (int): Blocks from the input to the output.
        num_heads (int): Attention heads; each has a multiple of 4 channels.
        num_classes (int): Number of labels. The null class has a row of its own, of index `num_classes`.
        in_channels (int): Channels of x.
        out_channels (int, optional): Channels of the output: those of x, the default, or twice as many for a network
            with a velocity head, which only training uses.
        head_depth (int): The last blocks, which each head has for itself.
        num_class_tokens (int): Tokens of the class.
        num_time_tokens (int): Tokens of t - r.
        num_guidance_tokens (int): Tokens of 1 - 1 / w.
        num_interval_tokens (int): Tokens of each end of the interval of guidance.
        use_checkpoint (bool): Whether to recompute the blocks' activations in the backward pass; see `ADMUNet`.
        init_cfg (dict, optional): MMEngine's initialisation config.
    """

    num_conditions = 4
    token_axes: tuple[int, ...] = ()  # axes in front of the learned tokens
    constant_tables: tuple[str, ...] = ()  # tensors of released files that follow from the settings
    drops_head = True  # a network without the velocity head takes the weights of one with it

    def __init__(
        self,
        image_size: Size,
        patch_size: int,
        embed_dims: int,
        depth: int,
        num_heads: int,
        num_classes: int,
        in_channels: int = 3,
        out_channels: int | None = None,
        head_depth: int = 8,
        num_class_tokens: int = 8,
        num_time_tokens: int = 4,
        num_guidance_tokens: int = 4,
        num_interval_tokens: int = 2,
        use_checkpoint: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        for name, value in (
            ('patch_size', patch_size), ('embed_dims', embed_dims), ('depth', depth), ('num_heads', num_heads),
            ('num_classes', num_classes), ('in_channels', in_channels), ('head_depth', head_depth),
            ('num_class_tokens', num_class_tokens), ('num_time_tokens', num_time_tokens),
            ('num_guidance_tokens', num_guidance_tokens), ('num_interval_tokens', num_interval_tokens),
        ):  # fmt: skip
            check_count(name, value)
        self.image_size = plain_size(image_size, 'image_size')
        self.grid = check_patches(self.image_size, patch_size)
        self.patch_size = patch_size
        self.in_channels = in_channels
        self.out_channels = in_channels if out_channels is None else out_channels
        if self.out_channels not in (in_channels, 2 * in_channels):
            raise InputError(
                f'out_channels has to be in_channels, {in_channels}, or twice as many, for a velocity head, got '
                f'{out_channels}.'
            )
        if head_depth > depth:
            raise InputError(f'head_depth is a part of depth, got {head_depth} and {depth}.')
        if embed_dims % (4 * num_heads):
            raise InputError(
                'embed_dims has to be a multiple of 4 num_heads, as rotary positions turn pairs of channels by row and '
                f'by column, got {embed_dims} and num_heads={num_heads}.'
            )
        self.num_classes = num_classes
        self.null_label = num_classes
        self.use_checkpoint = use_checkpoint
        self.head_channels = embed_dims // num_heads
        counts = dict(
            class_tokens=num_class_tokens,
            omega_tokens=num_guidance_tokens,
            t_min_tokens=num_interval_tokens,
            t_max_tokens=num_interval_tokens,
            time_tokens=num_time_tokens,
        )
        self.num_prefix_tokens = sum(counts.values())
        for name in ('time_tokens', *(other for other in counts if other != 'time_tokens')):
            tokens = normal_parameter(*self.token_axes, counts[name], embed_dims, std=1 / math.sqrt(embed_dims))
            self.register_parameter(name, tokens)
        self.add_position_tokens(embed_dims)
        self.x_embedder = self.patch_embedder(embed_dims)
        self.h_embedder = NumberEmbedding(embed_dims)
        self.omega_embedder = NumberEmbedding(embed_dims)
        self.cfg_t_start_embedder = NumberEmbedding(embed_dims)
        self.cfg_t_end_embedder = NumberEmbedding(embed_dims)
        self.y_embedder = LabelEmbedding(num_classes, embed_dims)

        def blocks(number: int) -> nn.ModuleList:
            hidden = self.mlp_channels(embed_dims)
            return nn.ModuleList(TransformerBlock(embed_dims, num_heads, hidden, GAIN) for _ in range(number))

        has_head = self.out_channels > in_channels
        self.shared_blocks = blocks(depth - head_depth)
        self.u_heads = blocks(head_depth)
        self.v_heads = blocks(head_depth if has_head else 0)
        self.u_final_layer = FinalLayer(embed_dims, in_channels * patch_size**2)
        self.add_velocity_layer(embed_dims, has_head)

    @abstractmethod
    def patch_embedder(self, embed_dims: int) -> nn.Module:
        """Return the layers from images (N, C, H, W) to (N, `embed_dims`, rows, columns)."""

    @abstractmethod
    def mlp_channels(self, embed_dims: int) -> int:
        """Return the hidden channels of the MLPs, about 8 / 3 `embed_dims`."""

    @abstractmethod
    def angles(self, device: torch.device) -> Tensor:
        """Return the angles of rotary positions: (tokens, d / 2), float32."""

    def add_position_tokens(self, embed_dims: int) -> None:
        """Add learned positions, where the network has any."""

    def with_positions(self, tokens: Tensor) -> Tensor:
        """Return tokens (N, T, C) with learned positions, where the network has any."""
        return tokens

    def add_velocity_layer(self, embed_dims: int, has_head: bool) -> None:
        """Add the last layer of the velocity head."""
        if has_head:
            self.v_final_layer = FinalLayer(embed_dims, self.in_channels * self.patch_size**2)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor, conditions: Tensor) -> Tensor:
        """Evaluate the network.

        Args:
            x (Tensor): Noisy images z_t, (N, C, H, W).
            t (Tensor): Their times, (N,), which the network ignores.
            labels (Tensor): Class indices, (N,), integers, or shares of the classes, (N, K), floating point.
            conditions (Tensor): t - r, 1 - 1 / w and the ends of the interval of guidance, (N, 4).

        Returns:
            Tensor: Output, (N, C_out, H, W), in the dtype of `x`; the output of the velocity head comes last.
        """
        check_labels(labels, self.num_classes)
        assert labels is not None
        tokens = self.sequence(x, labels, conditions)
        angles = self.angles(x.device)
        for block in self.shared_blocks:
            tokens = run_block(block, self.use_checkpoint, tokens, angles)
        images = [self._image(self.u_heads, self.u_final_layer, tokens, angles)]
        if len(self.v_heads):
            images.append(self._image(self.v_heads, self.v_final_layer, tokens, angles))
        return torch.cat(images, dim=1).to(x.dtype)

    def sequence(self, x: Tensor, labels: Tensor, conditions: Tensor) -> Tensor:
        """Return the tokens that enter the first block: (N, T, C)."""
        weight: Any = self.u_final_layer.linear._flax_linear.weight  # where FSDP shards parameters, a tensor
        step, guidance, low, high = conditions.unbind(1)
        prefix = (
            self.class_tokens + self.y_embedder(labels)[:, None],
            self.omega_tokens + self.omega_embedder(guidance)[:, None],
            self.t_min_tokens + self.cfg_t_start_embedder(low)[:, None],
            self.t_max_tokens + self.cfg_t_end_embedder(high)[:, None],
            self.time_tokens + self.h_embedder(step)[:, None],
        )
        patches = self.x_embedder(x.to(weight.dtype)).flatten(2).transpose(1, 2)
        return self.with_positions(torch.cat([*prefix, patches], dim=1))

    def _image(self, head: nn.ModuleList, last: nn.Module, tokens: Tensor, angles: Tensor) -> Tensor:
        for block in head:
            tokens = run_block(block, self.use_checkpoint, tokens, angles)
        patches = last(tokens[:, self.num_prefix_tokens :])
        # A patch holds its values by row, column and channel.
        patches = patches.unflatten(2, (self.patch_size, self.patch_size, self.in_channels)).unflatten(1, self.grid)
        return patches.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)

    @property
    def unused_weights(self) -> tuple[str, ...]:
        """Prefixes of weights in released files that this network ignores."""
        heads = () if len(self.v_heads) else ('v_heads.', 'v_final_layer.')
        kept = {name.split('.')[0] for name, _ in self.named_parameters()}
        return (*self.constant_tables, *(name for name in heads if name[:-1] not in kept))


def check_patches(image_size: int | tuple[int, int], patch_size: int) -> tuple[int, int]:
    """Return rows and columns of patches; an InputError unless patches cover images of this size."""
    height, width = height_and_width(image_size)
    if height % patch_size or width % patch_size:
        raise InputError(f'image_size has to be a multiple of patch_size={patch_size}, got {image_size}.')
    return height // patch_size, width // patch_size
