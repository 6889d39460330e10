"""`ConsistencyModel`: a denoiser with its averages, its objective and its sampler."""

import warnings
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from mmcm.checkpoints.trusted_config import TRAINING_ONLY
from mmcm.checkpoints.weights import average_name
from mmcm.datasets.labels import check_labels
from mmcm.denoisers import Denoiser, load_denoiser
from mmcm.models.averages import check_decays, evaluating, frozen, update_ema
from mmcm.models.editing import Editing
from mmcm.models.output_check import OutputCheck
from mmcm.models.teacher import build_teacher, check_teacher, load_initial_weights, load_teacher
from mmcm.noise.generators import Noise, SampleNoise
from mmcm.objectives.base import Networks, Objective
from mmcm.registry import MODELS, OBJECTIVES, SAMPLERS
from mmcm.samplers.base import Callback, Denoise, Sampler
from mmcm.structures import DataSample, labels_of
from mmcm.utils.errors import InputError


class ConsistencyModel(Editing):
    """A consistency model, or the diffusion model that one is distilled from.

    Sampling needs a denoiser and a sampler. Training needs an objective, and where that asks for them the target
    network (an average inside the loss) and a teacher. `AveragesHook` begins each training step and updates the
    averages after the optimiser's step. The config type `ConsistencyModel` is `mmcm.mmagic.ConsistencyModel`, which
    also answers calls of MMagic.

    Args:
        denoiser (dict): Config of D(x, sigma).
        sampler (dict, optional): Config of the sampler; needed to sample.
        objective (dict, optional): Config of the objective; needed to train.
        teacher (dict, optional): `checkpoint`, a path, URL, zoo name or work directory with the weights of a diffusion
            model; `average`, which of its weights (None: its first average); `denoiser`, where its config differs from
            the trained one's apart from the boundary condition, which a diffusion model has not.
        init_from (str, optional): Checkpoint that training starts from, as in `teacher`; 'teacher' starts from the
            teacher's own weights.
        ema_decays (Sequence[float]): Decays of the averages to keep for evaluation. The first average samples.
        data_preprocessor (dict, optional): Config of the preprocessor; ImagePreprocessor if None.
        init_cfg (dict, optional): MMEngine's initialisation config.
    """

    def __init__(
        self,
        denoiser: dict,
        sampler: dict | None = None,
        objective: dict | None = None,
        teacher: dict | None = None,
        init_from: str | None = None,
        ema_decays: Sequence[float] = (),
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or dict(type='ImagePreprocessor')), init_cfg)
        self.denoiser = MODELS.build(denoiser)
        self.sampler: Sampler | None = None if sampler is None else SAMPLERS.build(sampler)
        self.objective: Objective | None = None if objective is None else OBJECTIVES.build(objective)
        check_teacher(self.objective, teacher, init_from)
        self.init_from = init_from
        self.teacher_config = teacher
        self.target: Denoiser | None = None
        self.teacher: Denoiser | None = None
        if self.objective is not None and self.objective.needs_target:
            self.target = frozen(deepcopy(self.denoiser))
        if self.objective is not None and teacher is not None:
            self.teacher = build_teacher(teacher, self.denoiser, denoiser, self.objective)
        ema_decays = check_decays(ema_decays)
        self.emas = nn.ModuleDict({average_name(decay): frozen(deepcopy(self.denoiser)) for decay in ema_decays})
        self.ema_decays = ema_decays
        self.step: int | None = None  # set by begin_step; curricula are functions of it

    @property
    def inference_denoiser(self) -> nn.Module:
        """The denoiser to sample with: the first average, or the trained one where no average is kept."""
        return self.emas[average_name(self.ema_decays[0])] if self.ema_decays else self.denoiser

    @property
    def drawing_denoiser(self) -> Denoiser:
        """Deprecated name of `inference_denoiser`."""
        warnings.warn('drawing_denoiser is inference_denoiser now.', DeprecationWarning, stacklevel=2)
        return self.inference_denoiser

    @property
    def num_classes(self) -> int | None:
        """Number of classes, None for an unconditional model."""
        return self.denoiser.backbone.num_classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        backbone = self.denoiser.backbone
        return backbone.in_channels, backbone.image_size, backbone.image_size

    def init_weights(self) -> None:
        """Initialise for training: read the teacher and the weights to start from, and start the averages there."""
        super().init_weights()
        if self.teacher is not None and self.teacher_config is not None:
            load_teacher(self.teacher, self.teacher_config)
        if self.init_from:
            load_initial_weights(self.denoiser, self.init_from, self.teacher, self.teacher_config)
        for average in self._averages():
            average.load_state_dict(self.denoiser.state_dict())

    def load_checkpoint(
        self, source: str | Path, average: str | None = None, cache_dir: str | Path | None = None
    ) -> None:
        """Load the weights to sample with into the denoiser and each average.

        Args:
            source (str): Path, URL, zoo name or work directory.
            average (str, optional): Which weights of a training checkpoint; see `read_backbone`.
            cache_dir (str | Path, optional): Where downloads are kept.

        Raises:
            InputError: If the file cannot be found or read, or belongs to another denoiser; see `load_denoiser`.
        """
        load_denoiser(self.denoiser, source, average, cache_dir)
        for ema in self.emas.values():
            ema.load_state_dict(self.denoiser.state_dict())

    def _averages(self) -> list[nn.Module]:
        return [*([] if self.target is None else [self.target]), *self.emas.values()]

    def train(self, mode: bool = True) -> 'ConsistencyModel':
        """Set the mode; the target drops out what the online network does, teacher and averages never do."""
        super().train(mode)
        for module in (self.teacher, *self.emas.values()):
            if module is not None:
                module.eval()
        return self

    @torch.no_grad()
    def begin_step(self, step: int) -> bool:
        """Begin training step `step`, counted from 0.

        Returns:
            bool: Whether the online network became the teacher. The averages then start anew from it, and so should
            the optimiser.
        """
        self.step = step
        if self.objective is None or not self.objective.renews_teacher(step):
            return False
        for network in (self.teacher, *self._averages()):
            if network is not None:
                update_ema(network, self.denoiser, decay=0.0)
        return True

    @torch.no_grad()
    def update_averages(self) -> None:
        """Update the target and all averages with the online weights, once per step of the optimiser."""
        if self.target is not None and self.objective is not None:
            update_ema(self.target, self.denoiser, self.objective.target_decay(self._training_step()))
        for decay, ema in zip(self.ema_decays, self.emas.values()):
            update_ema(ema, self.denoiser, decay)

    def _training_step(self) -> int:
        if self.step is None:
            raise InputError(
                'the training step is not known: add dict(type="AveragesHook") to the hooks (the runtime '
                'config of mmcm has it), or call model.begin_step(step) in a loop of your own.'
            )
        return self.step

    def forward(
        self,
        inputs: Tensor | None = None,
        data_samples: DataSample | Sequence[DataSample] | None = None,
        mode: str = 'tensor',
    ) -> dict | list | Tensor:
        """Compute the loss, or sample images.

        Args:
            inputs (Tensor, optional): 'loss': clean images in [-1, 1], (N, C, H, W). 'tensor': standard normal noise of
                that shape. 'predict': not used.
            data_samples (DataSample | list, optional): Labels in `gt_label`, as one batched sample or one per image;
                for 'predict' one per image, with its `sample_seed`.
            mode (str): 'loss', 'predict' or 'tensor'.

        Returns:
            dict | list | Tensor: 'loss': the objective's output. 'predict': the samples, with `fake_img`, uint8 RGB
            (C, H, W). 'tensor': images in [-1, 1], (N, C, H, W).
        """
        if mode == 'loss' and inputs is not None:
            return self.loss(inputs, data_samples)
        if mode == 'tensor' and inputs is not None:
            return self.sample(len(inputs), labels_of(data_samples), latents=inputs)
        if mode == 'predict' and data_samples is not None and not isinstance(data_samples, DataSample):
            return self.predict(data_samples)
        if mode in ('loss', 'predict', 'tensor'):
            needed = 'data_samples, one per image' if mode == 'predict' else 'inputs'
            raise InputError(f'mode {mode!r} needs {needed}.')
        raise InputError(f"mode has to be 'loss', 'predict' or 'tensor', got {mode!r}.")

    def loss(self, inputs: Tensor, data_samples: DataSample | Sequence[DataSample] | None = None) -> dict:
        """Return the output of the objective for clean `inputs` in [-1, 1], (N, C, H, W)."""
        if self.objective is None:
            raise InputError('the model has no objective, so it cannot be trained: set model.objective in the config.')
        labels = None if self.num_classes is None else labels_of(data_samples)
        networks = Networks(self.denoiser, self.target, self.teacher)
        return self.objective(networks, inputs, labels, self._training_step())

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss to minimise, and the means for the log, which has none of the noise levels."""
        return super().parse_losses({name: value for name, value in losses.items() if name != 'sigma'})

    def predict(self, data_samples: Sequence[DataSample]) -> list[DataSample]:
        """Sample the image of each sample from its `sample_seed` and its label."""
        noise = SampleNoise([sample.sample_seed for sample in data_samples])
        images = self.sample(len(data_samples), labels_of(data_samples), noise)
        images = self.data_preprocessor.destruct(images)
        drawn = []
        for sample, image in zip(data_samples, images):
            sample = sample.clone()
            sample.set_data(dict(fake_img=image))
            drawn.append(sample)
        return drawn

    def sample(
        self,
        num_samples: int,
        labels: Tensor | Sequence[int] | int | None = None,
        noise: Noise | None = None,
        latents: Tensor | None = None,
        sampler: Sampler | None = None,
        clip: bool = True,
        callback: Callback | None = None,
        online: bool = False,
    ) -> Tensor:
        """Sample images, as one batch.

        Args:
            num_samples (int): Number of images, N.
            labels (Tensor | Sequence[int] | int, optional): Class of each image, or one for all; exactly when the model
                is class-conditional.
            noise (Noise, optional): Source of noise; by default sample i has the seed i.
            latents (Tensor, optional): Standard normal noise to start from, (N, C, H, W), in place of the first noise.
            sampler (Sampler, optional): A sampler other than the model's own.
            clip (bool): Whether each estimate of the clean image is clipped to [-1, 1]. The result always is.
            callback (Callable, optional): Called in each step; see `Sampler`.
            online (bool): Whether to use the trained weights themselves, in place of their first average.

        Returns:
            Tensor: Images in [-1, 1], (N, C, H, W), float32, on the model's device.

        Raises:
            InputError: If labels, latents or sampler do not fit.
            NotFiniteError: If the network makes NaN or infinities; the message says why.
        """
        labels = self.check_labels(labels, num_samples)
        shape = (num_samples, *self.image_shape)
        if latents is not None and tuple(latents.shape) != shape:
            raise InputError(f'latents have to be of shape {shape}, got {tuple(latents.shape)}.')
        noise = SampleNoise(range(num_samples)) if noise is None else noise
        return self.generate(num_samples, labels, noise, latents, self.checked_sampler(sampler), clip, callback, online)

    def checked_sampler(self, sampler: Sampler | None = None) -> Sampler:
        """Return `sampler`, by default the model's own; an InputError if there is none."""
        sampler = sampler or self.sampler
        if sampler is None:
            raise InputError('the model has no sampler: set model.sampler in the config, or pass one.')
        return sampler

    @torch.no_grad()
    def generate(
        self,
        num_samples: int,
        labels: Tensor | None,
        noise: Noise,
        latents: Tensor | None,
        sampler: Sampler,
        clip: bool = True,
        callback: Callback | None = None,
        online: bool = False,
    ) -> Tensor:
        """Sample images from arguments that are checked already; see `sample`, which checks them."""
        denoiser = self.denoiser if online else self.inference_denoiser
        device = self._drawing_device
        if latents is None:
            latents = noise.randn(num_samples, *self.image_shape, device=device)
        latents = latents.to(device, torch.float32)
        check = OutputCheck(denoiser, latents=latents)
        denoise = self._denoise_with(labels, clip, denoiser, check)
        with evaluating(denoiser):
            images = check.note(sampler(denoise, latents, noise.randn_like, callback))
        check.finish()
        return images.clamp(-1, 1)

    @property
    def _drawing_device(self) -> torch.device:
        return next(self.inference_denoiser.parameters()).device

    def _denoise_with(self, labels: Tensor | None, clip: bool, denoiser: nn.Module, check: OutputCheck) -> Denoise:
        """Return the function of x and sigma that samplers call; `check` sees its output before that is clipped.

        A third argument has the indices of the samples that x holds, where it holds some of them.
        """
        labels = None if labels is None else labels.to(self._drawing_device)

        def denoise(x: Tensor, sigma: Tensor, rows: Tensor | None = None) -> Tensor:
            x0 = check.note(denoiser(x, sigma, labels if rows is None or labels is None else labels[rows]))
            return x0.clamp(-1, 1) if clip else x0

        return denoise

    def check_labels(self, labels: Tensor | Sequence[int] | int | None, num_samples: int) -> Tensor | None:
        """Return the labels of a batch as the network takes them; see `mmcm.datasets.labels.check_labels`."""
        return check_labels(labels, num_samples, self.num_classes)


def inference_config(config: dict) -> dict:
    """Return the config of a model without objective, teacher, averages and the other settings of training."""
    return {key: value for key, value in config.items() if key not in TRAINING_ONLY}


def __getattr__(name: str) -> object:
    renamed = dict(drawing_config=inference_config, follow=update_ema)
    if name not in renamed:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    warnings.warn(f'{name} is {renamed[name].__name__} now.', DeprecationWarning, stacklevel=2)
    return renamed[name]
