"""Sampler of flow maps."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

from mmcm.noise.linear_path import sigma_of
from mmcm.registry import SAMPLERS
from mmcm.samplers.base import Callback, Denoise, RandnLike, Sampler, as_tuple
from mmcm.utils.checks import check_count, check_positive
from mmcm.utils.errors import InputError


@SAMPLERS.register_module()
class FlowMapSampler(Sampler):
    """Steps of a flow map from noise to the image: z_r = z_t - (t - r) u(z_t, t, r) (arXiv 2505.13447, Eq. 12).

    The denoiser has to be a `FlowMapDenoiser`: each step tells it where it leads.

    Args:
        num_steps (int, optional): Number of steps of equal length, from t = 1 to 0; 1 is one-step sampling.
        times (Sequence[float] | float, optional): The times that the steps start from, strictly descending in (0, 1];
            the last step leads to 0. Give either these or `num_steps`.
        stochastic (bool): Whether each step leads to 0, and fresh noise back to the next time: multistep consistency
            sampling, as of SoFlow (arXiv 2512.15657).
        noise_scale (float): s of the flow map, by which the times are levels s t / (1 - t). A model refuses another one
            than that of its `FlowMapDenoiser`.
    """

    needs_flow_map = True

    def __init__(
        self,
        num_steps: int | None = None,
        times: Sequence[float] | float | None = None,
        stochastic: bool = False,
        noise_scale: float = 1.0,
    ) -> None:
        if (num_steps is None) == (times is None):
            raise InputError(f'give either num_steps or times, got num_steps {num_steps} and times {times}.')
        if num_steps is not None:
            check_count('num_steps', num_steps)
            levels = [1 - step / num_steps for step in range(num_steps)]
        else:
            levels = [float(time) for time in as_tuple(times)]
        if not levels or levels[0] > 1 or not all(a > b for a, b in pairwise([*levels, 0.0])):
            raise InputError(
                f'times must strictly decrease, from 1 at most, and stay above 0, got {levels}. The last step leads '
                'to 0 by itself; an example is (1.0, 0.5).'
            )
        check_positive('noise_scale', noise_scale)
        self.times = levels
        self.stochastic = bool(stochastic)
        self.noise_scale = noise_scale

    @property
    def num_steps(self) -> int:
        """Number of steps, each with one call of the callback."""
        return len(self.times)

    @property
    def nfe(self) -> int:
        """NFE: one call of the denoiser per step."""
        return len(self.times)

    @property
    def first_sigma(self) -> float:
        """Noise level that the first step starts from; 2^59 s for t = 1, whose level is infinite."""
        return self._sigma(self.times[0])

    def _sigma(self, time: float) -> float:
        return self.noise_scale * sigma_of(time)

    def __call__(
        self, denoise: Denoise, noise: Tensor, randn_like: RandnLike, callback: Callback | None = None
    ) -> Tensor:
        """Sample images; see `Sampler`."""
        sigmas = [*map(self._sigma, self.times), 0.0]
        x = noise * sigmas[0]
        for step, (sigma, next_sigma) in enumerate(pairwise(sigmas)):
            goal = 0.0 if self.stochastic else next_sigma
            x0 = denoise(x, x.new_full((x.shape[0],), sigma), next_sigma=x.new_full((x.shape[0],), goal))
            if callback is not None:
                callback(step, sigma, x, x0)
            if not next_sigma:
                return x0
            x = x0 + next_sigma * (randn_like(x0) if self.stochastic else (x - x0) / sigma)
        raise AssertionError('the last step leads to 0')
