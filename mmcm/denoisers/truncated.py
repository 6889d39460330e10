"""Denoiser of a truncated consistency model (Lee et al., 2024, arXiv 2410.14895)."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from mmcm.denoisers.karras import KarrasDenoiser
from mmcm.denoisers.noise_conditioning import C_NOISE, DEFAULT
from mmcm.registry import MODELS
from mmcm.utils.checks import check_positive

SHARED = ('image_size', 'in_channels', 'out_channels', 'num_classes', 'null_label', 'augment_dim')


class TwoStageNetwork(nn.Module):
    """The networks of both stages: `upper`, which is trained, and a copy `lower`, which is not.

    Args:
        network (nn.Module): The network of the second stage.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.upper: Any = network
        self.lower: Any = deepcopy(network).requires_grad_(False)
        for name in SHARED:
            if hasattr(network, name):
                setattr(self, name, getattr(network, name))

    def train(self, mode: bool = True) -> 'TwoStageNetwork':
        """Set the mode; the frozen network never drops out."""
        super().train(mode)
        self.lower.eval()
        return self

    def start(self) -> None:
        """Copy the weights of the frozen network to the trained one, which starts there."""
        self.upper.load_state_dict(self.lower.state_dict())

    def forward(self, is_lower: Tensor, x: Tensor, *arguments: Tensor | None) -> Tensor:
        """Return the output of `lower` where `is_lower` (N,) holds, and of `upper` elsewhere; see the network.

        Both see the whole batch unless all images are of one: dropout then is the same in both passes of a step. A
        graph that is exported has no branches, and so calls both.
        """
        if x.is_meta:  # FLOPs are counted: a sampler calls one network for each level
            return self.upper(x, *arguments)
        exporting = getattr(torch.compiler, 'is_exporting', torch.compiler.is_compiling)()  # the first since torch 2.7
        if not exporting and bool(is_lower.all()):
            return self.lower(x, *arguments)
        output = self.upper(x, *arguments)
        if exporting or bool(is_lower.any()):
            output = torch.where(is_lower.view(-1, 1, 1, 1), self.lower(x, *arguments), output)
        return output


@MODELS.register_module()
class TruncatedDenoiser(KarrasDenoiser):
    """EDM's denoiser with two networks: one from the transition time on, and the first stage's below it.

    Training starts from the first stage, a consistency model of easy consistency tuning: `init_from` loads it into
    both. Samplers see one denoiser: a step from a level below the transition calls the frozen network.

    Args:
        backbone (dict): Config of the networks, which are of one kind.
        transition (float): t', the smallest noise level of the trained network, positive.
        sigma_data (float): Standard deviation of the data; images lie in [-1, 1].
        c_noise (str): Noise level as the networks take it; see `Denoiser`.
        init_cfg (dict, optional): MMEngine's initialisation config.
    """

    backbone: TwoStageNetwork

    def __init__(
        self,
        backbone: dict,
        transition: float = 1.0,
        sigma_data: float = 0.5,
        c_noise: str = DEFAULT,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(backbone, sigma_data, boundary=False, c_noise=c_noise, init_cfg=init_cfg)
        check_positive('transition', transition)
        self.transition = float(transition)
        self.backbone = TwoStageNetwork(self.backbone)

    def forward(  # type: ignore[override]  # neither network takes guidance
        self, x: Tensor, sigma: Tensor, labels: Tensor | None = None, augment_labels: Tensor | None = None
    ) -> Tensor:
        """Estimate x0 from `x` (N, C, H, W) with noise levels `sigma` (N,); see `Denoiser`."""
        c_skip, c_out, c_in = (c.view(-1, 1, 1, 1) for c in self.scalings(sigma))
        more = () if augment_labels is None else (augment_labels,)
        c_noise = C_NOISE[self.c_noise](sigma)
        return c_skip * x + c_out * self.backbone(sigma < self.transition, c_in * x, c_noise, labels, *more)
