"""The transformer of improved MeanFlow, iMF (Geng et al., 2025, arXiv 2512.02012): latents in small patches."""

import torch
from torch import Tensor, nn

from mmcm.backbones.in_context_transformer import InContextTransformer
from mmcm.backbones.rotary import angles_1d
from mmcm.registry import MODELS


@MODELS.register_module()
class IMFTransformer(InContextTransformer):
    """A transformer with rotary positions of all tokens, those of the conditions included.

    The output is the mean velocity u, and after that the velocity of the head: the denoiser is
    `FlowMapDenoiser(guided=True)`.

    Released, for latents of 4 x 32 x 32 in patches of 2: B with 12 blocks of 768 channels and 12 heads, M with 24 of
    768 and 12, L with 32 of 1024 and 16, XL with 48 of 1024 and 16. See `InContextTransformer` for the arguments.
    """

    def patch_embedder(self, embed_dims: int) -> nn.Module:
        """Return a linear map of each patch."""
        return Patches(self.in_channels, self.patch_size, embed_dims)

    def mlp_channels(self, embed_dims: int) -> int:
        """Return 8 / 3 of the channels."""
        return 8 * embed_dims // 3

    def angles(self, device: torch.device) -> Tensor:
        """Return the angles by the place in the sequence."""
        return angles_1d(self.num_prefix_tokens + self.grid[0] * self.grid[1], self.head_channels, device)

    def add_velocity_layer(self, embed_dims: int, has_head: bool) -> None:
        """Add the last layer of the velocity head; released networks without the head have it, too, without use."""
        super().add_velocity_layer(embed_dims, True)
        self.v_final_layer.requires_grad_(has_head)


class Patches(nn.Module):
    """A linear map of each patch."""

    def __init__(self, in_channels: int, patch_size: int, embed_dims: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, embed_dims, patch_size, stride=patch_size)
        nn.init.xavier_uniform_(self.proj.weight.flatten(1))
        nn.init.zeros_(self.proj.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, x: Tensor) -> Tensor:
        """Embed the patches of `x` (N, C, H, W): (N, `embed_dims`, rows, columns)."""
        return self.proj(x)
