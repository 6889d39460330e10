"""What the objectives of flow maps share: the pair of times, guided velocities and the adaptive weight."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmcm.denoisers.augmented import inner_denoiser
from mmcm.denoisers.flow_map import FlowMapDenoiser, GuidanceInputs, check_times, is_flow_map
from mmcm.noise.global_batch import draw_for_batch
from mmcm.noise.linear_path import sigma_of
from mmcm.noise.time_distributions import TimeDistribution
from mmcm.objectives.base import Networks, Objective
from mmcm.objectives.solvers import column
from mmcm.registry import TIME_DISTRIBUTIONS
from mmcm.utils.checks import check_number
from mmcm.utils.errors import InputError
from mmcm.utils.random_state import get_random_state, set_random_state

Velocities = Callable[..., tuple[Tensor, Tensor | None]]  # (z, t, r, labels, guidance) -> u, v of the velocity head


class Batch(NamedTuple):
    """Noisy images of a training step on the linear path.

    Attributes:
        z (Tensor): z_t = (1 - t) x0 + t s e, (N, C, H, W), with the noise scale s of the flow map.
        t (Tensor): Where a step begins, (N,).
        r (Tensor): Where it ends, at most t, (N,).
        velocity (Tensor): v = s e - x0, (N, C, H, W); see `FlowMapDenoiser.path_velocity`.
        labels (Tensor, optional): Classes, (N,).
        more (Tensor): What else was drawn for each image, (N, K).
        x0 (Tensor, optional): The images, (N, C, H, W).
    """

    z: Tensor
    t: Tensor
    r: Tensor
    velocity: Tensor
    labels: Tensor | None
    more: Tensor
    x0: Tensor | None = None


class FlowMapObjective(Objective):
    """A loss of the mean velocity u(z_t, t, r) of a `FlowMapDenoiser`.

    Args:
        times (dict): Distribution of t and r.
        power (float): p of the adaptive weight 1 / (error + c)^p, which has no gradients (Geng et al., 2025, arXiv
            2505.13447, Eq. 22); 0 weighs all images alike.
        offset (float): c.
    """

    def __init__(self, times: dict, power: float, offset: float) -> None:
        super().__init__()
        self.times: TimeDistribution = TIME_DISTRIBUTIONS.build(times)
        check_number('power', power)
        if not (power >= 0 and offset > 0):
            raise InputError(f'power has to be 0 or more and offset positive, got {power} and {offset}.')
        self.power = power
        self.offset = offset

    def forward(self, networks: Networks, x0: Tensor, labels: Tensor | None, step: int) -> dict[str, Tensor]:
        """Compute the loss per image; see `Objective`. The log also gets the errors before their weight."""
        check_flow_map(self, networks.online)
        drawn, noise = draw_for_batch(self.draw, x0)
        t, r, *more = drawn.to(x0).unbind(1)
        flow_map: FlowMapDenoiser = inner_denoiser(networks.online)
        noise = flow_map.noise_scale * noise
        z = (1 - column(t)) * x0 + column(t) * noise
        further = torch.stack(more, dim=1) if more else t.new_zeros(len(t), 0)
        batch = Batch(z, t, r, flow_map.path_velocity(x0, noise, z, t), labels, further, x0)
        return dict(sigma=flow_map.noise_scale * sigma_of(t), **self.losses(networks, batch, step))

    def draw(self, num: int) -> Tensor:
        """Return t, r and further numbers for `num` images: (num, 2 + K), on the CPU."""
        return self.times(num)

    @abstractmethod
    def losses(self, networks: Networks, batch: Batch, step: int) -> dict[str, Tensor]:
        """Return `loss` per image, (N,), and what the log gets."""

    def weighted(self, error: Tensor) -> Tensor:
        """Return the errors (N,) with their adaptive weight: (N,)."""
        return error / (error.detach() + self.offset) ** self.power


class GuidedTarget:
    """v_g = w v + k u(z, t, t | label) + (1 - w - k) u(z, t, t | null class) (arXiv 2505.13447, Eq. 19 and 20).

    The network then is guided in one evaluation. Images whose label was dropped, and times outside the interval, keep
    v. Without guidance, the network is not evaluated.

    Args:
        scale (float): w.
        mixture (float): k, the share of the network's own class-conditional velocity. The scale that takes effect is
            w / (1 - k).
        interval (Sequence[float]): Smallest and largest t with guidance.
    """

    def __init__(self, scale: float, mixture: float, interval: Sequence[float]) -> None:
        check_number('guidance', scale)
        check_number('mixture', mixture)
        if not (scale > 0 and 0 <= mixture < 1):
            raise InputError(f'guidance has to be positive and mixture in [0, 1), got {scale} and {mixture}.')
        self.scale = scale
        self.mixture = mixture
        self.low, self.high = check_times(interval)

    @torch.no_grad()
    def __call__(self, network: Velocities, null_label: int | None, batch: Batch) -> Tensor:
        """Return v_g (N, C, H, W) of `batch`; see `evaluated` for the network."""
        if self.scale == 1 and not self.mixture:
            return batch.velocity
        z, t, labels = batch.z, batch.t, batch.labels
        null = null_labels(labels, null_label, 'guidance')
        assert labels is not None
        guided = self.scale * batch.velocity + (1 - self.scale - self.mixture) * network(z, t, t, null)[0]
        if self.mixture:
            guided = guided + self.mixture * network(z, t, t, labels)[0]
        inside = (t >= self.low) & (t <= self.high) & (labels != null)
        return torch.where(column(inside), guided, batch.velocity)


def along(
    tangent: Callable[..., Tensor],
    mean_velocity: Callable[[Tensor, Tensor], Tensor],
    z: Tensor,
    t: Tensor,
    velocity: Tensor,
) -> Tensor:
    """Return du/dt (N, C, H, W) of u(z, t) along `velocity`, with r fixed: v dz u + dt u."""
    # In full precision: differences need it, and autocast has no forward mode.
    with torch.autocast(z.device.type, enabled=False):
        return tangent(mean_velocity, z, t, velocity, torch.ones_like(t))


def null_label_of(denoiser: Any) -> int | None:
    """Return the null class of the network of a denoiser, None where it has none."""
    return inner_denoiser(denoiser).null_label


def null_labels(labels: Tensor | None, null_label: int | None, what: str) -> Tensor:
    """Return the null class for each of `labels` (N,): (N,); an InputError if the network has none."""
    if labels is None or null_label is None:
        raise InputError(
            f'{what} compares with images of no given class, which the network does not know: set num_classes and '
            'null_class=True of model.denoiser.backbone, and model.label_dropout, 0.1 for example.'
        )
    return torch.full_like(labels, null_label)


def check_flow_map(objective: Objective, denoiser: Any) -> None:
    """Raise an InputError unless `denoiser` is a flow map."""
    if not is_flow_map(denoiser):
        raise InputError(
            f'{type(objective).__name__} trains a FlowMapDenoiser, got a {type(inner_denoiser(denoiser)).__name__}: '
            "set model.denoiser.type='FlowMapDenoiser'."
        )


def evaluated(denoiser: Any) -> Velocities:
    """Return the network of a flow map as a function of z, t, r, labels and guidance, with one dropout mask.

    All its calls have the same mask, else the loss would measure dropout. u (N, C, H, W) comes with the velocity of the
    head or None.
    """
    random_state = None

    def network(
        z: Tensor, t: Tensor, r: Tensor, labels: Tensor | None, guidance: GuidanceInputs | None = None
    ) -> tuple[Tensor, Tensor | None]:
        nonlocal random_state
        if random_state is None:
            random_state = get_random_state(z.device)
        else:
            set_random_state(random_state, z.device)
        return denoiser(z, t, labels, next_sigma=r, guidance=guidance, velocities=True)

    return network


def squared(error: Tensor) -> Tensor:
    """Return the sum of squares of each image of `error` (N, C, H, W): (N,)."""
    return error.square().flatten(1).sum(1)
