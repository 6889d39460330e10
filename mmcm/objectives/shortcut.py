"""Shortcut models (Frans et al., 2024, arXiv 2410.12557)."""

import torch
from torch import Tensor

from mmcm.curricula.base import check_decay
from mmcm.objectives.base import Networks
from mmcm.objectives.flow_map import Batch, FlowMapObjective, Velocities, evaluated, null_label_of, null_labels, squared
from mmcm.objectives.solvers import column
from mmcm.registry import OBJECTIVES
from mmcm.utils.checks import check_number
from mmcm.utils.errors import InputError


@OBJECTIVES.register_module()
class Shortcut(FlowMapObjective):
    """Self-consistency: a step of 2d is two steps of d (Eq. 4 and Algorithm 1).

    u(z_t, t, t - 2d) is regressed on the mean of u(z_t, t, t - d) and u(z_(t-d), t - d, t - 2d), both of the target
    network, where the steps have sizes of 1, 1/2, ..., 2^(1 - L). Steps of 2^-L are taken to be infinitely small: they
    are the velocity u(z_t, t, t), which the rest of the batch regresses on v. The loss is the mean square.

    Args:
        num_levels (int): L; the smallest steps are of 2^-L.
        ratio (float): Share of the batch with steps of 2d, in [0, 1]; 1/4 in the paper.
        target_decay (float): Share of its old weights that the target network keeps in a step.
        guidance (float): w of the velocities that the smallest steps follow, u(null) + w (u(label) - u(null)); larger
            steps take it over from smaller ones. 1 is no guidance.
        clip (float, optional): Largest absolute value of the images and velocities of the target, 4 in the authors'
            program; None does not limit them.
    """

    needs_target = True

    def __init__(
        self,
        num_levels: int = 7,
        ratio: float = 0.25,
        target_decay: float = 0.999,
        guidance: float = 1.0,
        clip: float | None = None,
    ) -> None:
        times = dict(type='DyadicTimes', num_levels=num_levels, ratio=ratio)
        super().__init__(times, power=0.0, offset=1.0)
        check_decay(target_decay)
        check_number('guidance', guidance)
        if not guidance > 0 or (clip is not None and not clip > 0):
            raise InputError(f'guidance and clip have to be positive, got {guidance} and {clip}.')
        self.num_levels = num_levels
        self.decay = target_decay
        self.guidance = guidance
        self.clip = clip

    def target_decay(self, step: int) -> float:
        """Return the decay of the target network: the share of its old weights that it keeps."""
        return self.decay

    def losses(self, networks: Networks, batch: Batch, step: int) -> dict[str, Tensor]:
        """Return the loss per image, which is the error that is logged."""
        z, t, r, velocity, labels, *_ = batch
        assert networks.target is not None
        rows = (r < t).nonzero().squeeze(1)
        called = at_least_one(rows)
        part = Batch(*(None if each is None else each[called] for each in batch))  # type: ignore[arg-type]
        with torch.no_grad():
            found = self.two_steps(evaluated(networks.target), part, null_label_of(networks.online))
            target = velocity.index_copy(0, rows, found[: len(rows)])
        # Older versions of autocast would take the weights that they cast without gradients for the next pass, too.
        torch.clear_autocast_cache()
        u = evaluated(networks.online)(z, t, r, labels)[0]
        error = squared(u - target) / u[0].numel()
        return dict(loss=error, error=error.detach())

    def two_steps(self, network: Velocities, batch: Batch, null_label: int | None) -> Tensor:
        """Return the mean velocity of two steps of half the length from t to r: (N, C, H, W)."""
        z, t, r, _, labels, *_ = batch
        half = (t - r) / 2
        middle = t - half
        smallest = half < 1.5 * 2.0**-self.num_levels
        first = self.velocity(network, z, t, torch.where(smallest, t, middle), labels, null_label)
        between = self.clipped(z - column(half) * first)
        second = self.velocity(network, between, middle, torch.where(smallest, middle, r), labels, null_label)
        return self.clipped((first + second) / 2)

    def velocity(
        self, network: Velocities, z: Tensor, t: Tensor, r: Tensor, labels: Tensor | None, null_label: int | None
    ) -> Tensor:
        """Return u(z, t, r), guided where r = t: (N, C, H, W)."""
        u = network(z, t, r, labels)[0]
        if self.guidance == 1:
            return u
        null = null_labels(labels, null_label, 'guidance')
        rows = at_least_one((r == t).nonzero().squeeze(1))
        unconditional = network(z[rows], t[rows], r[rows], null[rows])[0]
        guided = u.index_copy(0, rows, unconditional + self.guidance * (u[rows] - unconditional))
        return torch.where(column(r == t), guided, u)

    def clipped(self, values: Tensor) -> Tensor:
        """Return images or velocities (N, C, H, W) within the limits of `clip`."""
        return values if self.clip is None else values.clamp(-self.clip, self.clip)


def at_least_one(rows: Tensor) -> Tensor:
    """Return `rows`, or the first row for none: all processes have to call a network in shards equally often."""
    return rows if len(rows) else rows.new_zeros(1)
