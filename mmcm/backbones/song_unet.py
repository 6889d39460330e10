"""DDPM++ and NCSN++ (Song et al., 2021, arXiv 2011.13456) as EDM has them (Karras et al., 2022, arXiv 2206.00364)."""

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcm.backbones.adm_unet import sinusoidal_embedding
from mmcm.backbones.conditioning import class_vectors
from mmcm.backbones.edm_blocks import BOX, FourierEmbedding, ResampledConv2d, UNetBlock, group_norm, initialise
from mmcm.backbones.edm_unet import EDMUNet, named
from mmcm.registry import MODELS
from mmcm.utils.checks import check_choice, check_count
from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import Size

EMBEDDINGS, ENCODERS = ('positional', 'fourier'), ('standard', 'residual')
NORM_EPS = 1e-6
LAST_GAIN = 1e-5  # of the layers that end a branch: it begins next to the identity
QKV_GAIN = math.sqrt(0.2)


@MODELS.register_module()
class SongUNet(EDMUNet):
    """The U-Net of Song et al. (2021): DDPM++ with the defaults.

    NCSN++ is `embedding='fourier'`, `encoder='residual'`, `noise_mult=2` and `resample_filter=(1, 3, 3, 1)`.

    Args:
        image_size (int): As all others without a description, see `EDMUNet`.
        base_channels (int): See `EDMUNet`.
        num_res_blocks (int): See `EDMUNet`.
        attention_resolutions (Sequence[int]): See `EDMUNet`. The smallest level has attention in any case; on the way
            up, the last block of a level has it.
        channel_mult (Sequence[int]): See `EDMUNet`.
        in_channels (int): See `EDMUNet`.
        out_channels (int): See `EDMUNet`.
        num_classes (int, optional): See `EDMUNet`.
        dropout (float): See `EDMUNet`.
        augment_dim (int, optional): See `EDMUNet`.
        null_class (bool): See `EDMUNet`.
        use_checkpoint (bool): See `EDMUNet`.
        dropout_resolution (int, optional): See `EDMUNet`.
        embedding (str): Of the noise level: 'positional', sines and cosines of geometrically spaced frequencies, or
            'fourier', of random ones.
        encoder (str): 'standard', or 'residual': smaller copies of the image enter each level, too.
        noise_mult (int): Size of the embedding of the noise level in units of `base_channels`.
        resample_filter (Sequence[int]): Taps of the filter by which levels change the size.
        init_cfg (dict, optional): MMEngine's initialisation config.
    """

    attention_everywhere = False

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
        embedding: str = 'positional',
        encoder: str = 'standard',
        noise_mult: int = 1,
        resample_filter: Sequence[int] = BOX,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            image_size,
            base_channels,
            num_res_blocks,
            attention_resolutions,
            channel_mult,
            in_channels,
            out_channels,
            num_classes,
            dropout,
            augment_dim,
            null_class,
            use_checkpoint,
            dropout_resolution,
            init_cfg,
        )
        check_choice('embedding', embedding, EMBEDDINGS)
        check_choice('encoder', encoder, ENCODERS)
        check_count('noise_mult', noise_mult)
        self.resample_filter = checked_filter(resample_filter)
        self.noise_channels = noise_mult * base_channels
        if embedding == 'fourier':
            self.map_noise: nn.Module | None = FourierEmbedding(self.noise_channels)
        else:
            self.map_noise = None
        if self.num_classes is not None:
            self.map_label = nn.Linear(self.num_classes, self.noise_channels)
        if self.augment_dim is not None:
            self.map_augment = nn.Linear(self.augment_dim, self.noise_channels, bias=False)
        self.map_layer0 = nn.Linear(self.noise_channels, self.embed_channels)
        self.map_layer1 = nn.Linear(self.embed_channels, self.embed_channels)
        self._build_levels(self.resample_filter if encoder == 'residual' else None)
        width = self.widths[0]
        self.dec[named(self.image_size, 'aux_norm')] = group_norm(width, NORM_EPS)
        self.dec[named(self.image_size, 'aux_conv')] = nn.Conv2d(width, self.out_channels, 3, padding=1)
        self._initialise()

    def _block(
        self, channels: int, out_channels: int, attention: bool, dropout: float, up: bool = False, down: bool = False
    ) -> UNetBlock:
        return UNetBlock(
            channels,
            out_channels,
            self.embed_channels,
            num_heads=int(attention),
            dropout=dropout,
            skip_scale=math.sqrt(0.5),
            norm_eps=NORM_EPS,
            resample_filter=self.resample_filter,
            project_skip=True,
            up=up,
            down=down,
        )

    def _embedding(self, t: Tensor, labels: Tensor | None, augment_labels: Tensor | None, dtype: torch.dtype) -> Tensor:
        if self.map_noise is None:
            found = sinusoidal_embedding(t, self.noise_channels, endpoint=True)
        else:
            found = self.map_noise(t)
        cosines, sines = found.chunk(2, dim=1)
        embedding = torch.cat([sines, cosines], dim=1).to(dtype)  # sines first, unlike ADM
        if labels is not None:
            assert self.num_classes is not None
            vectors = class_vectors(labels, self.num_classes, dtype)
            embedding = embedding + self.map_label(vectors * math.sqrt(self.num_classes))
        if augment_labels is not None:
            embedding = embedding + self.map_augment(augment_labels.to(dtype))
        return F.silu(self.map_layer1(F.silu(self.map_layer0(embedding))))

    def _output(self, h: Tensor) -> Tensor:
        norm, conv = (self.dec[named(self.image_size, part)] for part in ('aux_norm', 'aux_conv'))
        return conv(F.silu(norm(h)))

    def _initialise(self) -> None:
        """Draw the weights as Song et al.: of variance 2 / (fan in + fan out), and small where branches end."""
        fill = partial(initialise, weights=nn.init.xavier_uniform_)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d, ResampledConv2d)):
                fill(module)
        for block in self.modules():
            if isinstance(block, UNetBlock):
                fill(block.conv1, gain=LAST_GAIN)
                if block.num_heads:
                    fill(block.qkv, gain=QKV_GAIN)
                    fill(block.proj, gain=LAST_GAIN)
        fill(self.dec[named(self.image_size, 'aux_conv')], gain=LAST_GAIN)


def checked_filter(taps: Sequence[int]) -> tuple[int, ...]:
    """Return the taps of a filter that changes the size; an InputError unless they are an even number of positive ones.

    Of an odd number, the result would be off by half a pixel.
    """
    whole = isinstance(taps, (list, tuple)) and all(isinstance(tap, int) and tap > 0 for tap in taps)
    if not whole or not taps or len(taps) % 2:
        raise InputError(f'resample_filter has to be an even number of positive integers, such as (1, 1), got {taps}.')
    return tuple(taps)
