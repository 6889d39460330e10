"""`ConsistencyModelInferencer`: a model that is ready to draw."""
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

import torch
from mmengine.config import Config
from torch import Tensor

from mmcm.datasets.sampling_requests import request_labels
from mmcm.models.consistency_model import ConsistencyModel, drawing_config
from mmcm.noise.generators import sample_seeds
from mmcm.registry import MODELS, SAMPLERS
from mmcm.utils.configs import read_config
from mmcm.utils.errors import InputError
from mmcm.utils.files import make_folder
from mmcm.utils.images import check_picture_path, grid, to_pixels, write_picture
from mmcm.utils.progress import progress_bar
from mmcm.zoo import list_models, nearest

BATCH_SIZE = 64  # images per call of the sampler; what is drawn does not depend on it


@dataclass(frozen=True)
class Drawing:
    """What a call of the inferencer has drawn.

    Attributes:
        images (Tensor): uint8 RGB, (N, C, H, W), on the CPU.
        labels (list[int], optional): The class of each image; None for unconditional models.
        seeds (Sequence[int]): The seed of each image.
        seconds (float): How long the drawing took, loading not counted.
        num_calls (int): Network calls per image.
    """

    images: Tensor
    labels: Optional[list[int]]
    seeds: Sequence[int]
    seconds: float
    num_calls: int

    def save(self, out: Union[str, Path], columns: Optional[int] = None) -> list[Path]:
        """Write the images: to a file as one sheet, captioned with the labels, or into a folder one by one.

        Args:
            out (str | Path): A path with a suffix is a picture file, any other one a folder.
            columns (int, optional): Images per row of the sheet.

        Returns:
            list[Path]: What was written.
        """
        out = Path(out)
        if check_out(out):
            captions = None if self.labels is None else [str(label) for label in self.labels]
            write_picture(out, grid(self.images, columns, captions=captions))
            return [out]
        paths = []
        for index, image in enumerate(self.images):
            label = '' if self.labels is None else f'_label{self.labels[index]}'
            paths.append(out / f'{index:06d}{label}.png')
            write_picture(paths[-1], to_pixels(image))
        return paths


class ConsistencyModelInferencer:
    """A model with its weights on a device.

    Args:
        model (str | Path | Config): A config, its path, its name among those that come with mmcm, or the name of a
            model of the zoo.
        checkpoint (str, optional): Path, URL, zoo name or work directory. By default the zoo model's own, or the one
            that the config names as `checkpoint`.
        device (str, optional): 'cpu', 'cuda', 'cuda:1', ...; the best present if None.
        sampler (dict, optional): Config of a sampler, or changes to the config's own.
        average (str, optional): Which weights of a training checkpoint; see `mmcm.utils.weights.read_backbone`.

    Raises:
        InputError: If any of these cannot be used.
    """

    def __init__(self,
                 model: Union[str, Path, Config],
                 checkpoint: Optional[str] = None,
                 device: Optional[str] = None,
                 sampler: Optional[dict] = None,
                 average: Optional[str] = None) -> None:
        self.device = pick_device(device)
        self.config, self.checkpoint = _resolve(model, checkpoint)
        self.average = average
        self.sampler_config = _sampler_config(self.config.model.get('sampler'), self.checkpoint, sampler)
        self.sampler = SAMPLERS.build(self.sampler_config)
        with torch.device('meta'):  # the weights come from the checkpoint: nothing is initialised in vain
            self.model: ConsistencyModel = MODELS.build(drawing_config(self.config.model))
        self.loaded = False

    def load(self) -> 'ConsistencyModelInferencer':
        """Read the weights, unless that is done. The first call does it by itself, after it has checked its input."""
        if not self.loaded:
            self.model.load_checkpoint(self.checkpoint, self.average)
            self.model.to(self.device).eval()
            self.loaded = True
        return self

    def __call__(self,
                 num_images: Optional[int] = None,
                 labels: Union[Sequence[int], int, str, None] = None,
                 seed: int = 0,
                 batch_size: int = BATCH_SIZE,
                 progress: bool = False) -> Drawing:
        """Draw images.

        Args:
            num_images (int, optional): How many; one per label by default, or 1.
            labels (Sequence[int] | int | str, optional): Classes, repeated as often as need be; 'balanced' or 'random',
                which is the default of conditional models.
            seed (int): Seed of the images, and of random labels.
            batch_size (int): Images per call of the sampler. It changes nothing about the images.
            progress (bool): Whether to show a progress bar on stderr.

        Raises:
            InputError: If the arguments do not fit the model.
        """
        if num_images is None:
            num_images = len(labels) if hasattr(labels, '__len__') and not isinstance(labels, str) else 1
        check_count('num_images', num_images)
        check_count('batch_size', batch_size)
        num_classes = self.model.num_classes
        if num_classes is not None and labels is None:
            labels = 'random'
        labels = request_labels(labels, num_images, num_classes, seed)
        self.model.check_labels(labels, num_images)
        self.load()

        seeds = sample_seeds(num_images, seed)
        steps = math.ceil(num_images / batch_size) * self.sampler.num_steps
        started = time.perf_counter()
        with progress_bar('drawing', steps, shown=progress) as advance:
            images = self.model.draw(seeds, labels, batch_size, self.sampler, callback=lambda *_: advance())
        return Drawing(images, labels, seeds, time.perf_counter() - started, self.sampler.num_calls)


def pick_device(name: Optional[str]) -> torch.device:
    """Return the device `name`, or the best one present; an InputError if it is not there."""
    if name is None:
        name = 'cuda' if torch.cuda.is_available() else 'mps' if torch.backends.mps.is_available() else 'cpu'
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f'there is no device {name!r}: try cpu, cuda or cuda:1.') from error
    present = dict(
        cpu=1, cuda=torch.cuda.device_count(), mps=int(torch.backends.mps.is_available())).get(device.type, 0)
    if (device.index or 0) >= present:
        raise InputError(f'device {name} is not present on this machine. Leave the device out to take the best one.')
    return device


def check_count(name: str, value: Any) -> None:
    """Raise an InputError unless `value` is an integer of at least 1."""
    if not isinstance(value, int) or value < 1:
        raise InputError(f'{name} has to be an integer of at least 1, got {value!r}.')


def check_out(out: Path) -> bool:
    """Return whether `out` names a file (it has a suffix); an InputError if it cannot be written to."""
    if out.suffix and not out.is_dir():
        check_picture_path(out)
        return True
    make_folder(out)
    return False


def _resolve(model: Union[str, Path, Config], checkpoint: Optional[str]) -> tuple[Config, str]:
    """Return the config that `model` means, and the checkpoint that goes with it."""
    models = {entry.name: entry for entry in list_models()}
    if isinstance(model, Config):
        config = model
    elif str(model) in models:
        config, checkpoint = read_config(models[str(model)].config), checkpoint or str(model)
    else:
        try:
            config = read_config(model)
        except InputError as error:
            if Path(model).suffix == '.py':
                raise
            raise InputError(f'{error}; and no model of the zoo{nearest(str(model), models)}') from error
    checkpoint = checkpoint or config.get('checkpoint')
    if checkpoint is None:
        raise InputError(f'{model} names no checkpoint: give one, a path, URL, work directory or zoo name.')
    if config.get('model', {}).get('type') not in ('ConsistencyModel', 'mmcm.ConsistencyModel'):
        raise InputError(f'{model} is not the config of a ConsistencyModel.')
    return config, str(checkpoint)


def _sampler_config(config: Optional[dict], checkpoint: str, changes: Optional[dict]) -> dict:
    """Return the sampler to use: the caller's, else the checkpoint's own levels, else the config's."""
    config = dict(config or {})
    if changes:
        if 'type' in changes:
            return dict(changes)
        for given, replaced in (('sigmas', ('indices', 'num_scales')), ('indices', ('sigmas', ))):
            if given in changes:
                config = {key: value for key, value in config.items() if key not in replaced}
        return {**config, **changes}
    entry = next((entry for entry in list_models() if entry.name == checkpoint), None)
    if entry is not None and entry.sampler and isinstance(config.get('indices'), (list, tuple)) and len(
            config['indices']) > 1:
        config.update(entry.sampler)  # the config has those of the checkpoint that it was written for
    return config
