"""DPM-Solver-2, as in the reference program."""

from torch import Tensor

from mmcm.registry import SAMPLERS
from mmcm.samplers.base import ChurnSampler, Denoise, RandnLike


@SAMPLERS.register_module()
class DPM2Sampler(ChurnSampler):
    """A midpoint method whose midpoint halves the way in sigma^(1/3); two calls a step, also in the last.

    In the spirit of DPM-Solver-2 (Lu et al., 2022, arXiv 2206.00927), on the levels of Karras et al.
    """

    @property
    def nfe(self) -> int:
        """NFE: 2 n."""
        return 2 * self.num_steps

    def advance(
        self, denoise: Denoise, x: Tensor, x0: Tensor, sigma: float, next_sigma: float, randn_like: RandnLike
    ) -> Tensor:
        """Return `x` (N, C, H, W), which denoises to `x0`, moved from level `sigma` to `next_sigma`."""
        middle = ((sigma ** (1 / 3) + next_sigma ** (1 / 3)) / 2) ** 3
        half_way = x + (x - x0) / sigma * (middle - sigma)
        slope = (half_way - denoise(half_way, x.new_full((x.shape[0],), middle))) / middle
        return x + slope * (next_sigma - sigma)
