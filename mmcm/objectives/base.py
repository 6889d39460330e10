"""Contract of all objectives."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from mmcm.objectives.solvers import Denoise
from mmcm.utils.mmengine_bases import BaseModule

Denoiser = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # (x, sigma, labels) -> x0


class Networks(NamedTuple):
    """The denoisers of a training step.

    Attributes:
        online (Callable): The trained one.
        target (Callable, optional): Its average inside the loss; None for objectives without `needs_target`.
        teacher (Callable, optional): A frozen diffusion model; None for objectives without `needs_teacher`.
    """

    online: Denoiser
    target: Denoiser | None = None
    teacher: Denoiser | None = None

    def teacher_with(self, labels: Tensor | None) -> Denoise:
        """Return the teacher of an objective with `needs_teacher`, given the labels."""
        teacher = self.teacher
        assert teacher is not None
        return lambda x, sigma: teacher(x, sigma, labels)


class Objective(BaseModule, ABC):
    """A loss over a batch of clean images.

    It is a module of the model: what it learns (an adaptive weight, the statistics of the losses) is trained and saved
    with the network, and its distance moves to the device with it.
    """

    needs_target = False
    needs_teacher = False
    needs_same_teacher = False  # whether the online network becomes the teacher, which then has to be of its kind
    needs_log_variance = False  # whether the online network has to learn the logarithm of the variance of its loss

    @abstractmethod
    def forward(self, networks: Networks, x0: Tensor, labels: Tensor | None, step: int) -> dict[str, Tensor]:
        """Compute the loss.

        Args:
            networks (Networks): The denoisers.
            x0 (Tensor): Clean images in [-1, 1], (N, C, H, W).
            labels (Tensor, optional): Their classes, (N,), int64.
            step (int): Training step, counted from 0.

        Returns:
            dict: `loss` per image, (N,), whose mean is minimised, and `sigma`, the noise level of each, (N,), without
            gradients. The log gets the means of all other entries.
        """

    def target_decay(self, step: int) -> float:
        """Return the decay of the target network in `step`: the share of its old weights that it keeps."""
        raise NotImplementedError(f'{type(self).__name__} has no target network.')

    def renews_teacher(self, step: int) -> bool:
        """Return whether the online network becomes the teacher at the start of `step`."""
        return False

    def has_renewed_teacher(self, step: int) -> bool:
        """Return whether the teacher in `step` is a former online network, and not the one that was given."""
        return False
