"""Guidance: D_w = D_u + w (D_c - D_u), an estimate that follows the class more closely than the network's own.

D_c is the estimate for the class, D_u that for no given class (Ho & Salimans, 2022, arXiv 2207.12598, in the terms of
Karras et al., 2024, arXiv 2406.02507, Eq. 4).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mmcm.denoisers import Denoiser
from mmcm.denoisers.augmented import inner_denoiser
from mmcm.denoisers.guidance import Guidance
from mmcm.denoisers.guidance_input import takes_guidance
from mmcm.samplers.base import Sampler
from mmcm.samplers.rehearsal import rehearse
from mmcm.utils.errors import InputError


class GuidedDenoiser:
    """D_w(x, sigma, labels), from two estimates of one network, or of two.

    Both estimates of one network are one call with a batch of twice the size. Levels outside the interval cost no
    second estimate.

    Args:
        denoiser (Denoiser): D(x, sigma, labels), of a network with a null class unless there is a guide.
        guidance (Guidance): Scale and interval.
        null_label (int, optional): The null class.
        guide (Denoiser, optional): A weaker denoiser for autoguidance, whose estimate for the same class takes the
            place of D_u.
        scales (Tensor, optional): w of each image, (N,), in place of one for all.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        guidance: Guidance,
        null_label: int | None,
        guide: Any = None,
        scales: Tensor | None = None,
    ) -> None:
        self.denoiser = denoiser
        self.scales = scales
        self.guidance = guidance
        self.null_label = null_label
        self.guide = guide

    @property
    def backbone(self) -> Any:
        """The network."""
        return self.denoiser.backbone

    @property
    def sigma_data(self) -> float:
        """Standard deviation of the data."""
        return self.denoiser.sigma_data

    def __call__(
        self,
        x: Tensor,
        sigma: Tensor,
        labels: Tensor | None = None,
        augment_labels: Tensor | None = None,
        **levels: Tensor,
    ) -> Tensor:
        """Return the guided estimates of the clean images.

        Args:
            x (Tensor): Noisy images, (N, C, H, W).
            sigma (Tensor): Their noise levels, (N,).
            labels (Tensor, optional): Their classes, (N,), or shares of classes, (N, K).
            augment_labels (Tensor, optional): See `Denoiser`.
            **levels (Tensor): Further levels of a flow map, (N,) each.
        """
        given = dict(levels) if augment_labels is None else dict(levels, augment_labels=augment_labels)
        whole = self.guidance.interval is None
        # Waits for the device, and saves the second estimate of all other levels.
        rows = torch.arange(len(x), device=x.device) if whole else self.guidance.guided(sigma).nonzero()[:, 0]
        if not len(rows):
            return self.denoiser(x, sigma, labels, **given)
        if self.guide is not None:
            conditional = self.denoiser(x, sigma, labels, **given)
            same = None if labels is None or self.guide.backbone.num_classes is None else labels[rows]
            other = self.guide(x[rows], sigma[rows], same, **{name: each[rows] for name, each in levels.items()})
            return self._combined(conditional, other, None if whole else rows)
        assert labels is not None and self.null_label is not None  # see check_guided
        null = torch.full((len(rows),), self.null_label, dtype=torch.int64, device=x.device)
        if labels.is_floating_point():  # shares have no row of the null class, and so no batch with it
            conditional = self.denoiser(x, sigma, labels, **given)
            other = self.denoiser(x[rows], sigma[rows], null, **{name: each[rows] for name, each in given.items()})
        else:
            both = {name: torch.cat((each, each[rows])) for name, each in given.items()}
            estimates = self.denoiser(
                torch.cat((x, x[rows])), torch.cat((sigma, sigma[rows])), torch.cat((labels, null)), **both
            )
            conditional, other = estimates[: len(x)], estimates[len(x) :]
        return self._combined(conditional, other, None if whole else rows)

    def _combined(self, conditional: Tensor, other: Tensor, rows: Tensor | None) -> Tensor:
        scale: Any = self.guidance.scale if self.scales is None else self.scales.view(-1, 1, 1, 1)
        if rows is None:
            return other.lerp(conditional, scale)
        return conditional.index_copy(0, rows, other.lerp(conditional[rows], scale))


class InputGuidedDenoiser:
    """D(x, sigma, labels) of a network that takes guidance as an input: one estimate, at any scale.

    Args:
        denoiser (Denoiser): The denoiser, with `guided`.
        guidance (Guidance): Scale and interval.
    """

    def __init__(self, denoiser: Denoiser, guidance: Guidance) -> None:
        self.denoiser = denoiser
        self.guidance = guidance

    def __call__(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None, **options: Any) -> Tensor:
        """Return the estimates of the clean images; see the class of the denoiser."""
        inputs = inner_denoiser(self.denoiser).guidance_inputs(sigma, self.guidance)
        return self.denoiser(x, sigma, labels, guidance=inputs, **options)


def own_guidance(denoiser: Denoiser, config: Mapping[str, Any] | None) -> Guidance:
    """Return the guidance that a model samples with: of its `config`, or of a network that takes it as an input."""
    return denoiser.own_guidance if config is None and takes_guidance(denoiser) else Guidance.of(config)


def guided(denoiser: Any, guidance: Guidance, null_label: int | None, guide: Any = None) -> Any:
    """Return `denoiser` with `guidance`, itself where that changes nothing; see `check_guided` for the errors."""
    if takes_guidance(denoiser):
        check_guided(denoiser, guidance, null_label, alone=guide is None)
        return InputGuidedDenoiser(denoiser, guidance)
    if not guidance.acts:
        return denoiser
    check_guided(denoiser, guidance, null_label, alone=guide is None)
    return GuidedDenoiser(denoiser, guidance, null_label, guide)


def check_guided(
    denoiser: Any, guidance: Guidance, null_label: int | None, place: str = 'guidance', alone: bool = True
) -> None:
    """Raise an InputError if estimates of `denoiser` cannot be guided.

    Args:
        denoiser (Denoiser): The denoiser.
        guidance (Guidance): The guidance that is asked for.
        null_label (int, optional): The null class of its network.
        place (str): What the message calls the scale.
        alone (bool): Whether both estimates are its own, and not one of a second network.
    """
    if takes_guidance(denoiser):
        if not alone:
            raise InputError(
                f'{place}={guidance.scale} by a second network is for networks that do not take guidance as an input, '
                'and this one does: leave out model.guidance.checkpoint.'
            )
        if guidance.scale < 1:
            raise InputError(
                f'{place} has to be 1 or more for a network that takes guidance as an input, got {guidance.scale}: '
                'it has not learned smaller ones.'
            )
        return
    if not guidance.acts:
        return
    if null_label is None and alone:
        raise InputError(
            f'{place}={guidance.scale} needs a network that also knows images of no given class, and this one has no '
            'null class. Leave guidance out, or train with model.denoiser.backbone.null_class=True and '
            'model.label_dropout=0.1.'
        )


def guided_nfe(sampler: Sampler, guidance: Guidance) -> int:
    """Return the NFE per image of `sampler` with `guidance` by two estimates: the second one counts, too."""
    if not guidance.acts:
        return sampler.nfe
    if guidance.interval is None:
        return 2 * sampler.nfe
    return sampler.nfe + sum(map(guidance.acts_at, rehearse(sampler)[1]))
