"""The folder of a ConsistencyModelPipeline, as diffusers' `save_pretrained` writes it and `from_pretrained` reads it.

It holds `model_index.json`, the network in `unet/` and the schedule in `scheduler/`. A folder of the
network alone, that is of a UNet2DModel, is read, too.
"""

import json
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcm.checkpoints.formats.diffusers_unet import backbone_config, from_diffusers, to_diffusers, unet_config
from mmcm.checkpoints.trusted_config import SCHEDULER as SCHEDULER_RULES
from mmcm.checkpoints.trusted_config import UNET2D, check_diffusers, checked_config
from mmcm.utils.bounded import Unreadable, read_json
from mmcm.utils.errors import InputError
from mmcm.utils.files import appearing

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PIPELINE, UNET, SCHEDULER = 'ConsistencyModelPipeline', 'UNet2DModel', 'CMStochasticIterativeScheduler'
VERSION = '0.21.0'  # of diffusers: the first that has all settings we write
STEM = 'diffusion_pytorch_model'
# Settings of the scheduler, with diffusers' defaults. Those of the first row have no counterpart here.
SAMPLING = dict(s_noise=1.0, clip_denoised=True)
RANGE = dict(sigma_min=0.002, sigma_max=80.0, rho=7.0)
SIGMA_DATA = 0.5
C_NOISE = '250 log sigma'
NUM_SCALES = 40


def is_diffusers_folder(path: str | Path) -> bool:
    """Return whether `path` is the folder of a diffusers pipeline, or of a UNet2DModel alone."""
    path = Path(path)
    if (path / 'model_index.json').is_file():
        return True
    try:
        return _read_json(path / 'config.json').get('_class_name') == UNET
    except InputError:
        return False


class DiffusersFolder:
    """The folder of a ConsistencyModelPipeline, or of a UNet2DModel alone. Its settings are read once.

    Args:
        path (str | Path): The folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.is_pipeline = (self.path / 'model_index.json').is_file()
        self._unet_folder = self.path / 'unet' if self.is_pipeline else self.path

    @cached_property
    def unet(self) -> dict[str, Any]:
        """The settings of the network; an InputError if the folder is not whole, or of another pipeline or network."""
        _ = self.scheduler  # so that another pipeline is refused as such
        return _read_component(self._unet_folder / 'config.json', UNET, UNET2D)

    @cached_property
    def scheduler(self) -> dict[str, Any]:
        """The settings of the scheduler; none, which are diffusers' defaults, for a network alone."""
        if not self.is_pipeline:
            return {}
        found = _read_json(self.path / 'model_index.json').get('_class_name')
        if found != PIPELINE:
            raise InputError(f'{self.path} holds a {found}; mmcm reads the folders of a {PIPELINE}.')
        return _read_component(self.path / 'scheduler' / 'scheduler_config.json', SCHEDULER, SCHEDULER_RULES)

    @cached_property
    def backbone(self) -> dict[str, Any]:
        """The config of the network as an ADMUNet."""
        try:
            return backbone_config(self.unet)
        except InputError as error:
            raise InputError(f'{self.path}: {error}') from error

    def config(self) -> dict[str, Any]:
        """Return the config of the model, with a sampler of one step.

        Returns:
            dict: `model`, the config of a ConsistencyModel, and `class_names` where the classes are those of ImageNet.

        Raises:
            InputError: If the folder is not whole, or holds another pipeline or network.
        """
        scheduler, backbone = self.scheduler, self.backbone
        for key, value in SAMPLING.items():
            if scheduler.get(key, value) != value:
                raise InputError(
                    f'{self.path}: the scheduler has {key}={scheduler[key]!r}, which mmcm has no counterpart of: '
                    f'set it to {value!r} in scheduler_config.json.'
                )
        levels = {key: scheduler.get(key, value) for key, value in RANGE.items()}
        levels = {key: value for key, value in levels.items() if value != RANGE[key]}
        denoiser: dict[str, Any] = dict(type='KarrasDenoiser', backbone=backbone)
        if 'sigma_min' in levels:
            denoiser['sigma_min'] = levels['sigma_min']
        if scheduler.get('sigma_data', SIGMA_DATA) != SIGMA_DATA:
            denoiser['sigma_data'] = scheduler['sigma_data']
        num_scales = scheduler.get('num_train_timesteps', NUM_SCALES)
        sampler = dict(type='MultistepSampler', indices=(0,), num_scales=num_scales, **levels)
        config: dict[str, Any] = dict(model=dict(type='ConsistencyModel', denoiser=denoiser, sampler=sampler))
        if backbone['num_classes'] == 1000:
            config['class_names'] = 'imagenet1k'
        return checked_config(config, self.path)

    def weights(self, dtype: 'torch.dtype | None' = None, exact: tuple[str, ...] = ()) -> dict[str, 'Tensor']:
        """Return the weights of the network, under the names of ADMUNet and in their order.

        Of several files the one of full precision is read, and safetensors first; a file in parts is put together.
        With `dtype`, tensors of safetensors files are converted as they are read; see `Checkpoint.read_as`.

        Raises:
            InputError: If the folder is not whole, or holds another pipeline or network.
        """
        from mmcm.checkpoints.read import read_checkpoint  # which loads torch

        backbone = self.backbone
        weights: dict[str, Any] = {}
        for path in _weight_files(self._unet_folder):
            weights.update(read_checkpoint(path, mapped=True, dtype=dtype, exact=exact))
        try:
            return from_diffusers(backbone, weights)
        except InputError as error:
            raise InputError(f'{self.path}: {error}') from error


def read_config(folder: str | Path) -> dict[str, Any]:
    """Return the config of the model in a diffusers folder; see `DiffusersFolder.config`."""
    return DiffusersFolder(folder).config()


def read_weights(folder: str | Path) -> dict[str, 'Tensor']:
    """Return the weights of the network in a diffusers folder; see `DiffusersFolder.weights`."""
    return DiffusersFolder(folder).weights()


def weight_names() -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield what weights may be called, best first: full precision before half, safetensors before `.bin`.

    Each time these are the name of the one file, the names of the index of a file in parts, and patterns of the parts.
    """
    number = '-?????-of-?????'
    for variant in ('', '.fp16'):
        for suffix in ('safetensors', 'bin'):
            # diffusers 0.30 put the variant where the releases before and after it do not.
            yield (
                f'{STEM}{variant}.{suffix}',
                [f'{STEM}.{suffix}.index{variant}.json', f'{STEM}.{suffix}{variant}.index.json'],
                [f'{STEM}{variant}{number}.{suffix}', f'{STEM}{number}{variant}.{suffix}'],
            )


def write_folder(folder: str | Path, model: Mapping[str, Any], weights: Mapping[str, 'Tensor']) -> None:
    """Write the folder of a ConsistencyModelPipeline, in place of one that is there already.

    Args:
        folder (str | Path): Where to. It appears only when it is whole.
        model (Mapping): Config of the ConsistencyModel.
        weights (Mapping[str, Tensor]): The weights of its network, under the names of ADMUNet and all of one dtype.

    Raises:
        InputError: If the pipeline cannot express the model, or the folder cannot be written.
    """
    from mmcm.checkpoints.write import write_safetensors

    unet, scheduler = unet_config(model['denoiser']['backbone']), scheduler_config(model)
    parts = dict(scheduler=('diffusers', SCHEDULER), unet=('diffusers', UNET))
    with appearing(Path(os.path.abspath(folder))) as part:
        for name in parts:
            (part / name).mkdir(parents=True)
        _write_json(part / 'model_index.json', PIPELINE, parts)
        _write_json(part / 'unet' / 'config.json', UNET, unet)
        _write_json(part / 'scheduler' / 'scheduler_config.json', SCHEDULER, scheduler)
        renamed = to_diffusers(model['denoiser']['backbone'], weights)
        write_safetensors(part / 'unet' / f'{STEM}.safetensors', renamed, dict(format='pt'))


def scheduler_config(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the CMStochasticIterativeScheduler that draws from a ConsistencyModel.

    Which levels a sampler visits is no setting of the scheduler: they are arguments of the pipeline.

    Raises:
        InputError: If it cannot; the message names the setting.
    """
    denoiser, sampler = model['denoiser'], model.get('sampler') or {}
    kind = str(denoiser.get('type')).split('.')[-1]
    if kind != 'KarrasDenoiser' or not denoiser.get('boundary', True):
        what = 'a diffusion model (boundary=False)' if kind == 'KarrasDenoiser' else f'a {kind}'
        raise InputError(
            f"a {PIPELINE} draws from consistency models of type 'KarrasDenoiser', not from {what}. "
            'Give the config of the consistency model, or convert to mmcm or openai.'
        )
    if denoiser.get('c_noise', C_NOISE) != C_NOISE:
        raise InputError(f'a {PIPELINE} gives its network {C_NOISE}, not {denoiser["c_noise"]}.')
    if str(sampler.get('type', 'MultistepSampler')).split('.')[-1] != 'MultistepSampler':
        raise InputError(f"a {PIPELINE} draws as a 'MultistepSampler' does, got sampler {sampler['type']!r}.")
    levels = {key: sampler.get(key, value) for key, value in RANGE.items()}
    sigma_min = denoiser.get('sigma_min', RANGE['sigma_min'])
    if levels['sigma_min'] != sigma_min:
        raise InputError(
            f'a {PIPELINE} has one sigma_min: the denoiser has {sigma_min}, the sampler {levels["sigma_min"]}.'
        )
    # A sampler of one step may leave the number of levels open, and then any will do.
    return dict(
        num_train_timesteps=sampler.get('num_scales') or NUM_SCALES,
        sigma_data=denoiser.get('sigma_data', SIGMA_DATA),
        **levels,
        **SAMPLING,
    )


def _weight_files(folder: Path) -> list[Path]:
    """Return the file of the weights, or its parts."""
    for file, indices, _ in weight_names():
        if (folder / file).is_file():
            return [folder / file]
        for index in indices:
            if (folder / index).is_file():
                return [folder / name for name in _parts(folder / index)]
    raise InputError(f'{folder} has no weights: {STEM}.safetensors (or .bin) is missing. Download it, too.')


def _parts(index: Path) -> list[str]:
    """Return the names of the files that an index says the weights are in."""
    places = _read_json(index).get('weight_map')
    names: list[Any] = list(places.values()) if isinstance(places, dict) else []
    if not names or not all(isinstance(name, str) and name.isprintable() and Path(name).name for name in names):
        raise InputError(
            f'{index} has no weight_map from the names of weights to those of files. Download or write it again.'
        )
    return sorted({Path(name).name for name in names})


def _read_component(path: Path, kind: str, rules: Mapping[str, Any]) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f'{path} is missing: the folder is not whole. Download or write it again.')
    config = _read_json(path)
    if config.get('_class_name') != kind:
        raise InputError(f'{path} describes a {config.get("_class_name")}; a {PIPELINE} has a {kind}.')
    return check_diffusers(config, rules, path)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except (OSError, Unreadable) as error:
        raise InputError(f'{path} cannot be read as JSON: {error}. Download or write it again.') from error
    if not isinstance(content, dict):
        raise InputError(f'{path} holds no settings: it is not whole, or of another kind.')
    return content


def _write_json(path: Path, kind: str, settings: Mapping[str, Any]) -> None:
    content = {'_class_name': kind, '_diffusers_version': VERSION, **settings}
    path.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
