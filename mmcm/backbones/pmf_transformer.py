"""The transformer of pixel MeanFlow, pMF (Lu et al., 2026, arXiv 2601.22158): images in pixels, large patches."""

import torch
from torch import Tensor, nn

from mmcm.backbones.in_context_transformer import InContextTransformer
from mmcm.backbones.rotary import angles_2d
from mmcm.backbones.transformer_layers import normal_parameter
from mmcm.registry import MODELS

WIDE = 1024  # networks of more channels have a wider bottleneck, and MLPs of a multiple of 8 channels


@MODELS.register_module()
class PMFTransformer(InContextTransformer):
    """A transformer with a bottleneck of the patches, learned positions, and rotary ones of the image tokens.

    The output is an estimate of the clean image, and after that the one of the velocity head: the denoiser is
    `FlowMapDenoiser(guided=True, prediction='x')`.

    Released: B with 16 blocks of 768 channels and 12 heads, L with 32 of 1024 and 16, H with 48 of 1280 and 16; for 256
    x 256 pixels with patches of 16, for 512 x 512 with patches of 32. See `InContextTransformer` for the arguments.
    """

    token_axes = (1,)
    constant_tables = ('rope_freqs',)

    def patch_embedder(self, embed_dims: int) -> nn.Module:
        """Return a patch embedding with few channels in its middle."""
        return BottleneckPatches(self.in_channels, self.patch_size, 256 if embed_dims > WIDE else 128, embed_dims)

    def mlp_channels(self, embed_dims: int) -> int:
        """Return 8 / 3 of the channels, rounded up to a multiple of 8 in wide networks."""
        hidden = 8 * embed_dims // 3
        return -(-hidden // 8) * 8 if embed_dims > WIDE else hidden

    def add_position_tokens(self, embed_dims: int) -> None:
        """Add a learned position of each token."""
        num_tokens = self.num_prefix_tokens + self.grid[0] * self.grid[1]
        self.pos_embed = normal_parameter(1, num_tokens, embed_dims, std=0.02)

    def with_positions(self, tokens: Tensor) -> Tensor:
        """Add the learned positions to `tokens` (N, T, C)."""
        return tokens + self.pos_embed

    def angles(self, device: torch.device) -> Tensor:
        """Return the angles by row and column of the image tokens; the other tokens are not turned."""
        image = angles_2d(*self.grid, self.head_channels, device)
        return torch.cat([image.new_zeros(self.num_prefix_tokens, image.shape[1]), image])


class BottleneckPatches(nn.Module):
    """Two linear maps of each patch, over few channels."""

    def __init__(self, in_channels: int, patch_size: int, middle: int, embed_dims: int) -> None:
        super().__init__()
        self.proj1 = nn.Conv2d(in_channels, middle, patch_size, stride=patch_size)
        self.proj2 = nn.Conv2d(middle, embed_dims, 1)
        for layer in (self.proj1, self.proj2):
            nn.init.xavier_uniform_(layer.weight.flatten(1))
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # both have one

    def forward(self, x: Tensor) -> Tensor:
        """Embed the patches of `x` (N, C, H, W): (N, `embed_dims`, rows, columns)."""
        return self.proj2(self.proj1(x))
