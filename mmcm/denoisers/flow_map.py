"""Denoiser of a flow map: a network with two times, which steps from any noise level to any lower one at once."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmcm.denoisers.augmented import inner_denoiser
from mmcm.denoisers.base import Denoiser
from mmcm.denoisers.guidance import Guidance
from mmcm.denoisers.guidance_input import check_guided_network
from mmcm.denoisers.noise_conditioning import DEFAULT
from mmcm.noise.linear_path import sigma_of, time_of
from mmcm.registry import MODELS
from mmcm.utils.checks import check_choice, check_positive
from mmcm.utils.errors import InputError

SMALLEST_TIME = 0.05  # what the difference of z and an estimated image is divided by, at least (arXiv 2601.22158)


class GuidanceInputs(NamedTuple):
    """Inputs of a guided network that describe its guidance (Geng et al., 2025, arXiv 2512.02012, Section 4.2).

    Attributes:
        scale (Tensor): w of each image, (N,), 1 or more; 1 is no guidance.
        low (Tensor): Smallest time with guidance, (N,), in [0, 1].
        high (Tensor): Largest time with guidance, (N,), in [0, 1].
    """

    scale: Tensor
    low: Tensor
    high: Tensor


class Prediction(NamedTuple):
    """What the network of a flow map returns.

    Attributes:
        velocity (Callable): Of its output (N, C, H, W), z_t and t (N, 1, 1, 1): the velocity, (N, C, H, W).
        target (Callable): Of the image x0 and the noise e, (N, C, H, W): the output whose velocity is that of the path.
    """

    velocity: Callable[[Tensor, Tensor, Tensor], Tensor]
    target: Callable[[Tensor, Tensor], Tensor]


PREDICTIONS = {
    'velocity': Prediction(lambda output, z, t: output, lambda x0, noise: noise - x0),
    # Lu et al. (2026, arXiv 2601.22158, Section 4.1): u = (z - x) / t
    'x': Prediction(lambda output, z, t: (z - output) / t.clamp(min=SMALLEST_TIME), lambda x0, noise: x0),
}


@MODELS.register_module()
class FlowMapDenoiser(Denoiser):
    """D(x, sigma, next sigma) = z_t - t u(z_t, t, r), whose Euler step from sigma leads to next sigma.

    u is the mean velocity between the times r <= t of the linear path z_t = (1 - t) x0 + t e (Geng et al., 2025, arXiv
    2505.13447, Eq. 3): z_r = z_t - (t - r) u. In terms of sigma = t / (1 - t) and x = z_t / (1 - t) that step is
    Euler's, x + (x - D) / sigma (next sigma - sigma). For next sigma 0, D is the image at the end of the trajectory, as
    of a consistency model; for next sigma = sigma, it is the mean of the images that may lie behind x, as of a
    diffusion model. D(x, 0) = x. With a `noise_scale` s, the path is (1 - t) x0 + t s e, and sigma = s t / (1 - t).

    The network gets z_t, `time_scale` t, and as conditions `time_scale` (t - r) and, if it is guided, `time_scale`
    times 1 - 1 / w and the interval of times with guidance.

    Args:
        backbone (dict): Config of the network, with `num_conditions` of 1, or 4 if it is guided, and with twice the
            `out_channels` if it has a velocity head.
        time_scale (float): Factor of all times for the network. The derivative of a sinusoidal embedding grows with it.
        guided (bool): Whether scale and interval of guidance are inputs of the network.
        guidance (float): w of a guided network for sampling, 1 or more.
        guidance_interval (Sequence[float]): Smallest and largest time with guidance, for sampling.
        velocity_head (bool): Whether the second half of the network's output is the velocity at t, which only
            training uses (arXiv 2512.02012, Section 4.1).
        prediction (str): What the network returns: 'velocity', u itself, or 'x', an image x with u = (z - x) / t, in
            which t is 0.05 at least (pMF, Lu et al., 2026, arXiv 2601.22158). That of the head is of the same kind.
        noise_scale (float): s, the standard deviation of the noise at t = 1; pMF's is 1, 2 or 4 by the network.
        init_cfg (dict, optional): MMEngine's initialisation config.
    """

    def __init__(
        self,
        backbone: dict,
        time_scale: float = 1.0,
        guided: bool = False,
        guidance: float = 1.0,
        guidance_interval: Sequence[float] = (0.0, 1.0),
        velocity_head: bool = False,
        prediction: str = 'velocity',
        noise_scale: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        # Of e, and so of the noisy images at the end of the linear path.
        super().__init__(backbone, 1.0, DEFAULT, init_cfg, num_outputs=1 + velocity_head)
        check_positive('time_scale', time_scale)
        check_positive('noise_scale', noise_scale)
        check_choice('prediction', prediction, tuple(PREDICTIONS))
        check_guided_network(self.backbone, guided, guidance, num_conditions=4 if guided else 1)
        self.guidance, self.guidance_interval = float(guidance), check_times(guidance_interval)
        self.time_scale = time_scale
        self.guided = guided
        self.velocity_head = velocity_head
        self.prediction = prediction
        self.noise_scale = noise_scale

    @property
    def own_guidance(self) -> Guidance:
        """The guidance that a guided network samples with unless another is asked for, with its interval as levels."""
        if self.guidance_interval == (0.0, 1.0):
            return Guidance(self.guidance)
        low, high = (self.noise_scale * sigma_of(time) for time in self.guidance_interval)
        # A single time is an interval of levels without its lower end, and so would be empty.
        return Guidance(self.guidance, (low, max(high, math.nextafter(low, math.inf))))

    def guidance_inputs(self, sigma: Tensor, guidance: Guidance) -> GuidanceInputs:
        """Return scale and interval of `guidance` as inputs of a guided network, the interval as times."""
        ends = (0.0, 1.0) if guidance.interval is None else map(self._time_at, guidance.interval)
        return GuidanceInputs(*(torch.full_like(sigma, value) for value in (guidance.scale, *ends)))

    def _time_at(self, sigma: float) -> float:
        relative = sigma / self.noise_scale
        return 1.0 if math.isinf(relative) else time_of(relative)

    def forward(  # type: ignore[override]
        self,
        x: Tensor,
        sigma: Tensor,
        labels: Tensor | None = None,
        augment_labels: Tensor | None = None,
        *,
        next_sigma: Tensor | None = None,
        guidance: GuidanceInputs | None = None,
        velocities: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor | None]:
        """Estimate x0 from `x` (N, C, H, W) for a step from levels `sigma` (N,) to `next_sigma` (N,), 0 if None.

        Args:
            x (Tensor): Noisy images, (N, C, H, W); z_t with `velocities`.
            sigma (Tensor): Their noise levels, (N,); t with `velocities`.
            labels (Tensor, optional): Classes, (N,), if the network has them.
            augment_labels (Tensor, optional): See `Denoiser`.
            next_sigma (Tensor, optional): Levels that the step leads to, (N,); r with `velocities`.
            guidance (GuidanceInputs, optional): For a guided network; its own `guidance` if None.
            velocities (bool): Whether to return u (N, C, H, W), and the velocity of the head or None. Objectives call
                for these this way, and not by another method, because sharded training gathers weights for `forward`.
        """
        if velocities:
            assert next_sigma is not None
            return self._velocities(x, sigma, next_sigma, labels, augment_labels, guidance)
        relative = sigma / self.noise_scale
        t = time_of(relative)
        r = torch.zeros_like(t) if next_sigma is None else time_of(next_sigma / self.noise_scale)
        z = x / (1 + relative).view(-1, 1, 1, 1)
        return z - t.view(-1, 1, 1, 1) * self._velocities(z, t, r, labels, augment_labels, guidance)[0]

    def _velocities(
        self,
        z: Tensor,
        t: Tensor,
        r: Tensor,
        labels: Tensor | None,
        augment_labels: Tensor | None,
        guidance: GuidanceInputs | None,
    ) -> tuple[Tensor, Tensor | None]:
        conditions = [t - r]
        if self.guided:
            if guidance is None:
                guidance = GuidanceInputs(*(torch.full_like(t, v) for v in (self.guidance, *self.guidance_interval)))
            conditions += [1 - 1 / guidance.scale, guidance.low, guidance.high]
        scaled = self.time_scale * torch.stack(conditions, dim=1)
        augmented = {} if augment_labels is None else dict(augment_labels=augment_labels)
        output = self.backbone(z, self.time_scale * t, labels, conditions=scaled, **augmented)
        outputs = output.chunk(2, dim=1) if self.velocity_head else (output, None)
        u, v = (None if each is None else self._velocity(each, z, t) for each in outputs)
        assert u is not None
        return u, v

    def path_velocity(self, x0: Tensor, noise: Tensor, z: Tensor, t: Tensor) -> Tensor:
        """Return the velocity of the linear path through `z` (N, C, H, W) at `t` (N,), as the network can represent it.

        It is s e - x0, for noise s e, but for predictions 'x' below t = 0.05.
        """
        return self._velocity(PREDICTIONS[self.prediction].target(x0, noise), z, t)

    def _velocity(self, output: Tensor, z: Tensor, t: Tensor) -> Tensor:
        return PREDICTIONS[self.prediction].velocity(output, z, t.view(-1, 1, 1, 1))


def without_velocity_head(config: dict) -> dict:
    """Return the config of a denoiser for sampling: without the velocity head, where the network has it apart."""
    backbone: Any = config.get('backbone')
    name = backbone.get('type') if isinstance(backbone, dict) else None
    kind = MODELS.get(name) if isinstance(name, str) else name
    if not (config.get('velocity_head') and getattr(kind, 'drops_head', False)):
        return config
    backbone = {key: value for key, value in backbone.items() if key != 'out_channels'}
    return {**config, 'velocity_head': False, 'backbone': backbone}


def is_flow_map(denoiser: Any) -> bool:
    """Return whether `denoiser` is a flow map, also as FSDP or augmentation labels wrap it."""
    return isinstance(inner_denoiser(denoiser), FlowMapDenoiser)


def check_times(interval: Sequence[float]) -> tuple[float, float]:
    """Return the smallest and the largest time of an interval; an InputError unless 0 <= low <= high <= 1."""
    values = tuple(interval) if isinstance(interval, (list, tuple)) else ()
    if len(values) != 2 or not all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in values):
        raise InputError(f'guidance_interval has to be two times, such as (0.0, 0.8), got {interval!r}.')
    low, high = values
    if not 0 <= low <= high <= 1:
        raise InputError(f'guidance_interval has to be within 0 and 1, the smaller time first, got {interval!r}.')
    return float(low), float(high)
