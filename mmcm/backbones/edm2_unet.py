"""The U-Net of EDM2 (Karras et al., 2024, arXiv 2312.02696, Appendix B, configuration G).

Modules are nested and named so that the keys of `state_dict()` are those of the released networks, which therefore load
with no renaming.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmcm.backbones.adm_unet import check_halvings
from mmcm.backbones.conditioning import check_labels, class_vectors, null_label_of
from mmcm.backbones.edm2_blocks import Block
from mmcm.backbones.magnitude_preserving import (
    MPConv,
    MPFourier,
    downsample,
    mp_cat,
    mp_silu,
    mp_sum,
    normalize_weights,
    upsample,
)
from mmcm.backbones.recompute import run_block
from mmcm.registry import MODELS
from mmcm.utils.checks import check_count, check_positive
from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import Size, height_and_width, plain_size
from mmcm.utils.mmengine_bases import BaseModule
from mmcm.utils.precision import without_autocast


@MODELS.register_module()
class EDM2UNet(BaseModule):
    """F(x, t) of magnitude-preserving layers, and u(t), the logarithm of the variance of its loss.

    The network computes in the dtype of its weights (or under autocast) and returns the dtype of `x`. It expects
    t = log(sigma) / 4 and inputs of unit variance, as `KarrasDenoiser(boundary=False, c_noise='log(sigma) / 4')` gives.

    Its training has to call `normalize_weights` before each step, as `ConsistencyModel.begin_step` does. Passes of the
    network normalise weights for themselves alone, in training and evaluation: passes of one step, with gradients
    (student) or without (target, tangent), see the same weights.

    Args:
        image_size (int | Sequence[int]): Size of the images in pixels: the side of squares, or (height, width). Each
            level after the first halves it.
        base_channels (int): Width of the first level.
        num_res_blocks (int): Residual blocks per level on the way down; one more on the way up.
        attention_resolutions (Sequence[int]): Sizes in pixels of the feature maps that get attention: their shorter
            sides. The first block of the coarsest level on the way up has it in any case.
        channel_mult (Sequence[int]): Width of each level in units of `base_channels`; each level halves the size.
        in_channels (int): Channels of x.
        out_channels (int): Channels of the output.
        num_classes (int, optional): Number of labels; None for an unconditional network.
        null_class (bool): Whether there is a label of index `num_classes` for images whose class is not given, as label
            dropout and guidance need it. It has no weights: its one-hot vector is zero.
        num_head_channels (int): Channels of an attention head.
        dropout (float): Share of features dropped in each residual block.
        dropout_resolution (int, optional): Largest size of the feature maps that get dropout, in the pixels of
            `attention_resolutions`. None is all of them.
        noise_channel_mult (int, optional): Number of Fourier features of t in units of `base_channels`; the first of
            `channel_mult` if None.
        embed_channel_mult (int, optional): Width of the embedding in the same units; the largest of `channel_mult` if
            None.
        label_balance (float): t of `mp_sum` for the embeddings of noise level and class.
        concat_balance (float): t of `mp_cat` for the main path and the skips.
        res_balance (float): t of `mp_sum` for the main path and the residual branch.
        attention_balance (float): t of `mp_sum` for the main path and attention.
        clip (float, optional): Bound of the absolute values of each block's output; None for none.
        log_variance_channels (int): Number of Fourier features of t that u(t) is linear in.
        use_checkpoint (bool): Whether to recompute the blocks' activations in the backward pass: less memory, one more
            forward pass. It has no effect where no gradients are asked for, nor in forward-mode differentiation.
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
        null_class: bool = False,
        num_head_channels: int = 64,
        dropout: float = 0.0,
        dropout_resolution: int | None = None,
        noise_channel_mult: int | None = None,
        embed_channel_mult: int | None = None,
        label_balance: float = 0.5,
        concat_balance: float = 0.5,
        res_balance: float = 0.3,
        attention_balance: float = 0.3,
        clip: float | None = 256.0,
        log_variance_channels: int = 128,
        use_checkpoint: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        for name, value in (('base_channels', base_channels), ('num_head_channels', num_head_channels)):
            check_count(name, value)
        check_count('log_variance_channels', log_variance_channels)
        if not channel_mult or min(channel_mult) <= 0:
            raise InputError(f'channel_mult has to be of positive numbers, at least one, got {tuple(channel_mult)}.')
        image_size = plain_size(image_size, 'image_size')
        check_halvings(image_size, channel_mult)
        if dropout_resolution is not None:
            check_count('dropout_resolution', dropout_resolution)
        if clip is not None:
            check_positive('clip', clip)
        self.image_size = image_size
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.num_classes = num_classes
        self.null_label = null_label_of(num_classes, null_class)
        self.num_conditions = 0
        block = partial(
            Block,
            head_channels=num_head_channels,
            res_balance=res_balance,
            attention_balance=attention_balance,
            clip=clip,
        )
        noise_channels, embed_channels = (
            base_channels * (mult or default)
            for mult, default in ((noise_channel_mult, channel_mult[0]), (embed_channel_mult, max(channel_mult)))
        )
        self.unet = UNet(
            height_and_width(image_size),
            [base_channels * mult for mult in channel_mult],
            num_res_blocks,
            in_channels,
            out_channels,
            num_classes,
            noise_channels,
            embed_channels,
            attention_resolutions,
            (dropout, dropout_resolution),
            (label_balance, concat_balance),
            block,
            use_checkpoint,
        )
        self.logvar_fourier = MPFourier(log_variance_channels)
        self.logvar_linear = MPConv(log_variance_channels, 1)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """Evaluate the network.

        Args:
            x (Tensor): Images of unit variance, (N, C, H, W).
            t (Tensor): Conditioning of the noise level, (N,); log(sigma) / 4 for the released weights.
            labels (Tensor, optional): Class indices, (N,), integers, or shares of the classes, (N, K), floating point;
                needed exactly when the network has classes.

        Returns:
            Tensor: Output, (N, C_out, H, W), in the dtype of `x`.
        """
        check_labels(labels, self.num_classes)
        one_hot = None
        if labels is not None and self.num_classes is not None:
            one_hot = class_vectors(labels, self.num_classes, x.dtype)
        return self.unet(x, t, one_hot)

    def log_variance(self, t: Tensor) -> Tensor:
        """Return u(t) for `t` (N,), as in `forward`: (N,), in float32."""
        with without_autocast(t.device):
            return self.logvar_linear(self.logvar_fourier(t)).squeeze(1).float()

    def normalize_weights(self) -> None:
        """Normalise all weights that are trained, in place: forced weight normalisation, before each training step."""
        normalize_weights(self.modules())

    def train_log_variance(self, is_trained: bool) -> None:
        """Set whether u(t) is trained; where the objective does not read it, its weights get no gradient."""
        self.logvar_linear.requires_grad_(is_trained)


class UNet(nn.Module):
    """F(x, t) with one-hot classes; `EDM2UNet` derives the arguments from its settings."""

    def __init__(
        self,
        size: tuple[int, int],
        widths: Sequence[int],
        num_res_blocks: int,
        in_channels: int,
        out_channels: int,
        num_classes: int | None,
        noise_channels: int,
        embed_channels: int,
        attention_resolutions: Sequence[int],
        dropout: tuple[float, int | None],
        balances: tuple[float, float],
        block: Any,
        use_checkpoint: bool,
    ) -> None:
        super().__init__()
        self.label_balance, self.concat_balance = balances
        self.use_checkpoint = use_checkpoint
        rate, largest = dropout
        self.out_gain = nn.Parameter(torch.zeros([], dtype=torch.float32, device=None))
        self.emb_fourier = MPFourier(noise_channels)
        self.emb_noise = MPConv(noise_channels, embed_channels)
        self.emb_label = None if num_classes is None else MPConv(num_classes, embed_channels)

        def block_at(level: int, channels: int, out: int, attention: bool = False, **options: Any) -> nn.Module:
            side = min(size) >> level
            drops = largest is None or side <= largest
            return block(
                channels,
                out,
                embed_channels,
                attention=attention or ('resample' not in options and side in attention_resolutions),
                dropout=rate if drops else 0.0,
                **options,
            )

        names = [f'{size[0] >> level}x{size[1] >> level}' for level in range(len(widths))]
        self.enc = nn.ModuleDict()
        channels = in_channels + 1  # a channel of ones, in place of a bias
        skips = []
        for level, (name, width) in enumerate(zip(names, widths)):
            if level == 0:
                self.enc[f'{name}_conv'] = MPConv(channels, width, 3)
                channels = width
            else:
                self.enc[f'{name}_down'] = block_at(level, channels, channels, encodes=True, resample=downsample)
            skips.append(channels)
            for index in range(num_res_blocks):
                self.enc[f'{name}_block{index}'] = block_at(level, channels, width, encodes=True)
                channels = width
                skips.append(channels)

        self.dec = nn.ModuleDict()
        for level, (name, width) in reversed(list(enumerate(zip(names, widths)))):
            if level == len(widths) - 1:
                self.dec[f'{name}_in0'] = block_at(level, channels, channels, attention=True)
                self.dec[f'{name}_in1'] = block_at(level, channels, channels, resample=None)
            else:
                self.dec[f'{name}_up'] = block_at(level, channels, channels, resample=upsample)
            for index in range(num_res_blocks + 1):
                self.dec[f'{name}_block{index}'] = block_at(level, channels + skips.pop(), width)
                channels = width
        self.out_conv = MPConv(channels, out_channels, 3)

    def forward(self, x: Tensor, t: Tensor, one_hot: Tensor | None) -> Tensor:
        """Return F(x, t) for `x` (N, C, H, W), `t` (N,) and one-hot or mixed classes (N, K)."""
        weight: Any = self.emb_noise.weight  # where FSDP shards parameters, a tensor
        dtype = weight.dtype
        with without_autocast(x.device):  # as in ADMUNet: rounding hides small changes of t
            embedding = self.emb_noise(self.emb_fourier(t).to(dtype))
            if one_hot is not None and self.emb_label is not None:
                labels = self.emb_label(one_hot.to(dtype) * math.sqrt(one_hot.shape[1]))
                embedding = mp_sum(embedding, labels, self.label_balance)
            embedding = mp_silu(embedding)

        h = torch.cat([x.to(dtype), torch.ones_like(x[:, :1], dtype=dtype)], dim=1)
        skips = []
        for layer in self.enc.values():
            h = run_block(layer, self.use_checkpoint, h, embedding) if isinstance(layer, Block) else layer(h)
            skips.append(h)
        for name, layer in self.dec.items():
            if 'block' in name:
                h = mp_cat(h, skips.pop(), self.concat_balance)
            h = run_block(layer, self.use_checkpoint, h, embedding)
        return self.out_conv(h, gain=self.out_gain).to(x.dtype)
