"""A denoiser with the further inputs of a training batch: augmentation labels and scales of guidance."""

from typing import Any

from torch import Tensor

from mmcm.denoisers.base import Denoiser
from mmcm.denoisers.trigflow import TrigFlowDenoiser
from mmcm.utils.errors import InputError


class AugmentedDenoiser:
    """D(x, sigma, labels) for the images of one batch, whose augmentation labels it passes to the network.

    Objectives call it as any denoiser, with or without augmentation and guidance.

    Args:
        denoiser (Denoiser): The denoiser.
        augment_labels (Tensor, optional): (N, augment_dim), for a network with `augment_dim`.
        guidance (Tensor, optional): w of each image, (N,), for a guided denoiser.
    """

    def __init__(self, denoiser: Denoiser, augment_labels: Tensor | None, guidance: Tensor | None = None) -> None:
        self.denoiser = denoiser
        self.augment_labels = augment_labels
        self.guidance = guidance

    @property
    def sigma_data(self) -> float:
        """Standard deviation of the data."""
        return self.denoiser.sigma_data

    def __call__(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None, **options: Any) -> Any:
        """Estimate x0 from `x` (N, C, H, W) with noise levels `sigma` (N,); see the class of the denoiser."""
        if self.guidance is not None:
            options = dict(guidance=self.guidance, **options)
        return self.denoiser(x, sigma, labels, self.augment_labels, **options)

    def network(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return F(x, t) of a TrigFlowDenoiser; see there."""
        assert isinstance(self.denoiser, TrigFlowDenoiser)  # ContinuousConsistency has looked
        return self.denoiser.network(x, t, labels, self.augment_labels)


def inner_denoiser(denoiser: Any) -> Any:
    """Return the denoiser itself, where FSDP or augmentation labels wrap it."""
    for wrapped in ('denoiser', 'module'):  # of AugmentedDenoiser, and of FullyShardedDataParallel in it
        denoiser = getattr(denoiser, wrapped, denoiser)
    return denoiser


def with_augment_labels(
    denoiser: Denoiser, augment_labels: Tensor | None, guidance: Tensor | None = None
) -> Denoiser | AugmentedDenoiser:
    """Return `denoiser` with the labels and scales; without those that its network does not know, or that are None."""
    if getattr(denoiser.backbone, 'augment_dim', None) is None:
        augment_labels = None
    if not getattr(denoiser, 'guided', False):  # also of a teacher, which is guided by two estimates
        guidance = None
    if augment_labels is None and guidance is None:
        return denoiser
    return AugmentedDenoiser(denoiser, augment_labels, guidance)


def check_labels_known(num_labels: int, online: Denoiser, teacher: Denoiser | None) -> None:
    """Raise an InputError unless the trained network, and a teacher that knows labels, take `num_labels` labels.

    A network without labels would learn to generate augmented images.
    """
    known = getattr(online.backbone, 'augment_dim', None)
    if known != num_labels:
        raise InputError(
            f'model.augmentation has {num_labels} labels, and the network takes {known or "none"}: set '
            f'model.denoiser.backbone.augment_dim={num_labels}.'
        )
    known = None if teacher is None else getattr(teacher.backbone, 'augment_dim', None)
    if known not in (None, num_labels):
        raise InputError(
            f'model.augmentation has {num_labels} labels, and the teacher takes {known}: set '
            f'model.teacher.denoiser.backbone.augment_dim as it was trained, and model.augmentation alike.'
        )
