"""The second network of autoguidance (Karras et al., 2024, arXiv 2406.02507, Section 3)."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mmcm.denoisers import Denoiser, is_flow_map, load_denoiser
from mmcm.models.averages import frozen
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError


class Guide:
    """A weaker network, whose estimate takes the place of that for no given class.

    It is no part of the model that is trained, saved or resumed: its weights stay in their own checkpoint.

    Args:
        config (dict): `checkpoint`, its weights; `average`, which of them; `denoiser`, where its config differs from
            that of the model.
        denoiser (dict): Config of the denoiser of the model.
        own (Denoiser): The denoiser of the model.

    Attributes:
        denoiser (Denoiser): The network, without gradients.

    Raises:
        InputError: If it makes other images than the model, knows other classes, or is no flow map where the model is.
    """

    def __init__(self, config: dict, denoiser: dict, own: Denoiser) -> None:
        self.config = config
        merged = Config(dict(denoiser=deepcopy(denoiser)))
        merged.merge_from_dict(dict(denoiser=config.get('denoiser') or {}))
        self.denoiser: Denoiser = frozen(MODELS.build(merged.denoiser))
        self.loaded = False
        for name in ('in_channels', 'image_size', 'num_classes'):
            found, needed = (getattr(each.backbone, name, None) for each in (self.denoiser, own))
            if found != needed and not (name == 'num_classes' and found is None):
                raise InputError(
                    f'the second network of guidance has {name} {found}, and the model {needed}: set '
                    f'model.guidance.denoiser.backbone.{name}, or choose another model.guidance.checkpoint.'
                )
        if is_flow_map(self.denoiser) != is_flow_map(own):
            raise InputError(
                f'a {type(own).__name__} cannot be guided by a {type(self.denoiser).__name__}: both have to be flow '
                'maps, or neither. Change model.guidance.denoiser.'
            )

    def load(self, cache_dir: str | Path | None = None) -> Denoiser:
        """Read the weights, unless that is done; an InputError if they cannot be read."""
        if not self.loaded:
            try:
                load_denoiser(self.denoiser, self.config['checkpoint'], self.config.get('average'), cache_dir)
            except InputError as error:
                raise InputError(f'the second network of guidance cannot be read: {error}') from error
            self.loaded = True
        return self.denoiser

    def on(self, device: torch.device) -> Any:
        """Return the network with its weights, on `device`."""
        return self.load().to(device)
