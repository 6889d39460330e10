"""The U-Net of ADM (Dhariwal & Nichol, 2021, arXiv 2105.05233) as EDM has it (Karras et al., 2022, arXiv 2206.00364).

It computes what `ADMUNet` does, but its weights have other names, and the channels of queries, keys and values another
order.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcm.backbones.adm_unet import sinusoidal_embedding, zeroed
from mmcm.backbones.conditioning import class_vectors
from mmcm.backbones.edm_blocks import UNetBlock, group_norm
from mmcm.backbones.edm_unet import EDMUNet
from mmcm.registry import MODELS
from mmcm.utils.image_shape import Size

HEAD_CHANNELS = 64


@MODELS.register_module()
class DhariwalUNet(EDMUNet):
    """The U-Net of ADM with EDM's names.

    An attention head has 64 channels. As in EDM, a level with fewer channels has no attention.

    Args:
        image_size (int): As all others, see `EDMUNet`.
        base_channels (int): See `EDMUNet`.
        num_res_blocks (int): See `EDMUNet`.
        attention_resolutions (Sequence[int]): See `EDMUNet`. The smallest level has attention in any case.
        channel_mult (Sequence[int]): See `EDMUNet`.
        in_channels (int): See `EDMUNet`.
        out_channels (int): See `EDMUNet`.
        num_classes (int, optional): See `EDMUNet`.
        dropout (float): See `EDMUNet`.
        augment_dim (int, optional): See `EDMUNet`.
        null_class (bool): See `EDMUNet`.
        use_checkpoint (bool): See `EDMUNet`.
        dropout_resolution (int, optional): See `EDMUNet`.
        init_cfg (dict, optional): MMEngine's initialisation config.
    """

    attention_everywhere = True

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
        if self.augment_dim is not None:
            self.map_augment = zeroed(nn.Linear(self.augment_dim, base_channels, bias=False))
        self.map_layer0 = nn.Linear(base_channels, self.embed_channels)
        self.map_layer1 = nn.Linear(self.embed_channels, self.embed_channels)
        if self.num_classes is not None:
            self.map_label = nn.Linear(self.num_classes, self.embed_channels, bias=False)
            nn.init.normal_(self.map_label.weight)  # as an embedding of classes
        self._build_levels()
        self.out_norm = group_norm(self.widths[0])
        self.out_conv = zeroed(nn.Conv2d(self.widths[0], self.out_channels, 3, padding=1))

    def _block(
        self, channels: int, out_channels: int, attention: bool, dropout: float, up: bool = False, down: bool = False
    ) -> UNetBlock:
        block = UNetBlock(
            channels,
            out_channels,
            self.embed_channels,
            num_heads=out_channels // HEAD_CHANNELS if attention else 0,
            dropout=dropout,
            scale_shift_norm=True,
            up=up,
            down=down,
        )
        zeroed(block.conv1)
        if block.num_heads:
            zeroed(block.proj)
        return block

    def _embedding(self, t: Tensor, labels: Tensor | None, augment_labels: Tensor | None, dtype: torch.dtype) -> Tensor:
        embedding = sinusoidal_embedding(t, self.base_channels).to(dtype)
        if augment_labels is not None:
            embedding = embedding + self.map_augment(augment_labels.to(dtype))
        embedding = self.map_layer1(F.silu(self.map_layer0(embedding)))
        if labels is not None:
            assert self.num_classes is not None
            embedding = embedding + self.map_label(class_vectors(labels, self.num_classes, dtype))
        return F.silu(embedding)

    def _output(self, h: Tensor) -> Tensor:
        return self.out_conv(F.silu(self.out_norm(h)))
