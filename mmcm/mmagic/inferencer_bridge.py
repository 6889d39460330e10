"""Register our models with MMagicInferencer, by `import mmcm.mmagic.inferencer_bridge`.

It adds `consistency_models` to the list of MMagicInferencer, with our zoo as its settings, and lets MMagic's registry
build configs of MMagic's own, never released implementation from our parts. It needs MMagic, which `make mmagic`
installs.
"""

import time
import warnings
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.apis.sampling_result import SamplingResult, check_out
from mmcm.checkpoints.formats.mmagic_config import MODEL, is_mmagic_model, translate_model
from mmcm.mmagic.consistency_model import ConsistencyModel
from mmcm.noise.generators import sample_seeds
from mmcm.registry import MODELS
from mmcm.structures import DataSample
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.nearest import nearest
from mmcm.zoo import list_models

with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # dozens, of what MMagic imports
    import mmagic
    import mmagic.registry
    from mmagic.apis import MMagicInferencer, mmagic_inferencer
    from mmagic.apis.inferencers import ConditionalInferencer, Inferencers
    from mmagic.utils import register_all_modules

    register_all_modules(init_default_scope=False)

MMAGIC_VERSION = mmagic.__version__
FAMILY = 'consistency_models'
TASK = 'conditional'  # MMagic's own models are for 'Conditional GANs'


class ConsistencyInferencer(ConditionalInferencer):
    """MMagic's inferencer of conditional models, for ours.

    It adds our names for configs and checkpoints, checks of arguments, noise for each image by the seed, models without
    classes, and settings of the sampler.

    Args:
        config (str | Config): A config, its path or its name, or the name of a model of the zoo.
        ckpt (str, optional): Path, URL, zoo name or work directory; by default what the config names.
        device (str, optional): As MMagic has it.
        extra_parameters (dict, optional): `num_batches`, the number of images; `sample_model`, 'ema' or 'orig';
            `batch_size`, images per call of the network at most; `columns`, images per row of a grid; `sampler`,
            settings of the sampler, as `ConsistencyModelInferencer` takes them.
        seed (int): Seed of the noise, and of random labels.
    """

    def __init__(
        self,
        config: str | Config,
        ckpt: str | None = None,
        device: str | torch.device | None = None,
        extra_parameters: dict | None = None,
        seed: int = 2022,
    ) -> None:
        self.extra_parameters: dict[str, Any] = dict(
            num_batches=4, sample_model='orig', batch_size=None, columns=None, sampler=None
        )
        self._update_extra_parameters(extra_parameters=extra_parameters)
        self.drawer = ConsistencyModelInferencer(
            known_config(config),
            ckpt,
            None if device is None else str(device),
            sampler=self.extra_parameters['sampler'],
        )
        seed = sample_seeds(1, seed)[0]  # an InputError if it is none
        super().__init__(self.drawer.config, self.drawer.checkpoint, self.drawer.device, seed=seed % 2**32)
        self.seed = seed  # that of NumPy has half as many bits

    def _init_model(self, cfg: Config, ckpt: str, device: torch.device) -> ConsistencyModel:
        """Return our model with its weights."""
        model = self.drawer.load().model
        model.sampler = self.drawer.sampler
        model.cfg = cfg
        return model

    def _init_pipeline(self, cfg: Config) -> None:
        """Build no pipeline: no files are read."""

    def _init_collate(self, cfg: Config) -> None:
        """Build no function that makes batches."""

    def _init_visualizer(self, cfg: Config) -> None:
        """Build no visualizer: that of the config is for training."""

    def _update_extra_parameters(self, extra_parameters: dict | None = None, **kwargs: Any) -> None:
        """Keep `extra_parameters`; an InputError for an unknown one."""
        for key, value in (extra_parameters or {}).items():
            if key not in self.extra_parameters:
                raise InputError(
                    f'extra_parameters of {FAMILY} knows no {key!r}{nearest(key, self.extra_parameters)}; '
                    f'it takes {", ".join(self.extra_parameters)}.'
                )
            if key == 'sampler' and hasattr(self, 'drawer'):
                raise InputError('the sampler is chosen with the model: give its settings to MMagicInferencer.')
            if key in ('num_batches', 'batch_size', 'columns') and value is not None:
                check_count(key, value)
            self.extra_parameters[key] = value

    def __call__(self, result_out_dir: str = '', **kwargs: Any) -> tuple:
        """Sample and write; see `preprocess` and `visualize`."""
        if result_out_dir:
            check_out(Path(result_out_dir))
        return super().__call__(result_out_dir=result_out_dir, **kwargs)

    def preprocess(self, label: Any = None) -> dict:
        """Return the call of the model: `num_batches` images of the class `label`, or of random classes."""
        num_images = self.extra_parameters['num_batches']
        labels = self.drawer.request(num_images, label, self.seed).labels
        options = dict(seed=self.seed, batch_size=self.extra_parameters['batch_size'] or self.drawer.batch_size)
        return {**super().preprocess(labels), 'sample_kwargs': options}

    def forward(self, inputs: dict) -> list[DataSample]:
        """Sample, and measure the time."""
        started = time.perf_counter()
        preds = super().forward(inputs)
        self.seconds = time.perf_counter() - started
        return preds

    def visualize(self, preds: list[DataSample], result_out_dir: str | None = None) -> Tensor:
        """Write the images: to a file as one grid, or into a folder one by one.

        Returns:
            Tensor: RGB in [0, 1], (N, 3, H, W), on the CPU.
        """
        pixels = torch.stack([pred.fake_img.cpu().flip(0) for pred in preds])
        labels = None if self.model.num_classes is None else [int(pred.gt_label.label) for pred in preds]
        self.drawing = SamplingResult(
            [], pixels, labels, None, self.seconds, self.model.nfe(self.drawer.sampler), self.drawer.names_of(labels)
        )
        self.written = self.drawing.save(result_out_dir, self.extra_parameters['columns']) if result_out_dir else []
        return pixels.float() / 255

    def _pred2dict(self, data_sample: DataSample) -> dict:
        if self.model.num_classes is None:
            return dict(fake_img=data_sample.fake_img.cpu(), gt_label=None)
        return super()._pred2dict(data_sample)


class InferencersWithOurs(Inferencers):
    """MMagic's choice of an inferencer by the task, with ours for our task."""

    def __init__(self, task: str | None = None, *args: Any, **kwargs: Any) -> None:
        if task != TASK:
            super().__init__(task, *args, **kwargs)
        else:
            self.task = task
            self.inferencer = ConsistencyInferencer(*args, **kwargs)


def known_config(config: str | Path | Config) -> str | Config:
    """Return the config as `ConsistencyModelInferencer` takes it: the last part of a path that MMagic made of a name.

    MMagic takes the config of a setting for a file of its own.
    """
    if isinstance(config, Config):
        return config
    name = Path(config).name
    return name if name in settings_by_name() and not Path(config).is_file() else config


def settings_by_name() -> dict[str, dict]:
    """Return the models of our zoo as MMagic keeps settings, by name."""
    return {
        entry.name: dict(Name=entry.name, Config=f'configs/{entry.name}', Results=list(entry.results))
        for entry in list_models()
    }


def build_model(**config: Any) -> ConsistencyModel:
    """Build a `ConsistencyModel`, from the settings of ours or of MMagic's own implementation.

    As there, the weights that `model_path` names are loaded.
    """
    config = dict(type=MODEL, **config)
    if not is_mmagic_model(config):
        return MODELS.build(config)
    translated, checkpoint = translate_model(config)
    model = MODELS.build(translated)
    if checkpoint is not None:
        model.load_checkpoint(checkpoint)
    return model


def register() -> None:
    """Add our models to MMagic's lists; repeated calls change nothing."""
    MMagicInferencer.init_inference_supported_models_cfg()  # which reads one file per model on the list
    if FAMILY not in MMagicInferencer.inference_supported_models:
        MMagicInferencer.inference_supported_models.append(FAMILY)
    MMagicInferencer.inference_supported_models_cfg[FAMILY] = dict(
        task=TASK, settings=list(settings_by_name().values())
    )
    mmagic_inferencer.Inferencers = InferencersWithOurs
    mmagic.registry.MODELS.register_module(name=MODEL, module=build_model, force=True)


register()
