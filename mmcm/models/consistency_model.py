"""`ConsistencyModel`: a denoiser with its averages, an objective to train it by and a sampler to draw with."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmcm.checkpoints.trusted_config import TRAINING_ONLY
from mmcm.checkpoints.weights import average_name, load_weights
from mmcm.curricula.fixed import check_decay
from mmcm.datasets.labels import check_labels
from mmcm.denoisers import KarrasDenoiser, load_denoiser
from mmcm.models.averages import evaluating
from mmcm.models.editing import Editing
from mmcm.models.mmagic_calls import MMagicCalls
from mmcm.models.sampling_loop import sample_in_batches
from mmcm.noise.generators import Noise, SampleNoise
from mmcm.objectives.base import Networks
from mmcm.registry import MODELS, OBJECTIVES, SAMPLERS
from mmcm.samplers.base import Callback, Denoise, Sampler
from mmcm.structures import DataSample, labels_of
from mmcm.utils.batches import Batches
from mmcm.utils.errors import InputError
from mmcm.utils.finite import OutputCheck


@MODELS.register_module()
class ConsistencyModel(MMagicCalls, Editing, BaseModel):
    """A consistency model, or the diffusion model that one is distilled from.

    For drawing, a denoiser and a sampler suffice. With an objective come, where it needs them, the target network (an
    average inside the loss) and the teacher; averages for evaluation are kept as asked for. `AveragesHook` tells the
    model the training step and updates the averages after the optimiser's.

    Args:
        denoiser (dict): Config of D(x, sigma).
        sampler (dict, optional): Config of the sampler; needed to draw.
        objective (dict, optional): Config of the objective; needed to train.
        teacher (dict, optional): `checkpoint`, a path, URL, zoo name or work directory with the weights of a diffusion
            model; `average`, which of its weights (None: its first average); `denoiser`, where its config differs from
            the trained one's apart from the boundary condition, which a diffusion model has not.
        init_from (str, optional): Checkpoint that training starts from, as in `teacher`; 'teacher' starts from the
            teacher's own weights.
        ema_decays (Sequence[float]): Decays of the averages to keep for evaluation. The first one draws.
        data_preprocessor (dict, optional): Config of the preprocessor; ImagePreprocessor if None.
        requests (dict, optional): What calls from MMagic draw where they do not say; see `MMagicCalls`.
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
        requests: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or dict(type='ImagePreprocessor')), init_cfg)
        self.set_requests(requests)
        self.denoiser = MODELS.build(denoiser)
        self.sampler = None if sampler is None else SAMPLERS.build(sampler)
        self.objective = None if objective is None else OBJECTIVES.build(objective)
        self.init_from = init_from
        self.teacher_source = None
        self.teacher = None
        self.target = None
        if self.objective is not None:
            if self.objective.needs_target:
                self.target = frozen(deepcopy(self.denoiser))
            if self.objective.needs_teacher:
                self._build_teacher(denoiser, teacher)
        if self.teacher is None and (teacher is not None or init_from == 'teacher'):
            raise InputError(
                'a teacher was named, but the objective has no use for one. Leave out model.teacher and '
                "init_from='teacher', or choose an objective that distils."
            )
        ema_decays = check_decays(ema_decays)
        self.emas = nn.ModuleDict({average_name(decay): frozen(deepcopy(self.denoiser)) for decay in ema_decays})
        self.ema_decays = ema_decays
        self.step: int | None = None  # set by begin_step; curricula are functions of it
        self.watch_losses: Callable[[Tensor, Tensor], None] | None = None  # see parse_losses

    def _build_teacher(self, denoiser: dict, teacher: dict | None) -> None:
        unknown = set(teacher or ()) - {'checkpoint', 'average', 'denoiser'}
        if unknown:
            raise InputError(f'model.teacher takes checkpoint, average and denoiser, got {", ".join(sorted(unknown))}.')
        if teacher is None or not teacher.get('checkpoint'):
            raise InputError(
                f'{type(self.objective).__name__} needs a teacher: set '
                "model.teacher=dict(checkpoint='...') to a diffusion model's weights."
            )
        diffusion = dict(boundary=False) if isinstance(self.denoiser, KarrasDenoiser) else {}
        config = Config(dict(denoiser={**deepcopy(denoiser), **diffusion}))
        config.merge_from_dict(dict(denoiser=teacher.get('denoiser', {})))
        if self.objective.needs_same_teacher and config.denoiser != {**dict.fromkeys(diffusion, True), **denoiser}:
            raise InputError(
                'the network becomes its own teacher, so both need the same denoiser, without a boundary '
                'condition: set model.denoiser.boundary=False, and leave out model.teacher.denoiser.'
            )
        self.teacher = frozen(MODELS.build(config.denoiser))
        self.teacher_source = {key: value for key, value in teacher.items() if key != 'denoiser'}

    @property
    def drawing_denoiser(self) -> nn.Module:
        """The denoiser that images are drawn with: the first average, or the trained one where none is kept."""
        return self.emas[average_name(self.ema_decays[0])] if self.ema_decays else self.denoiser

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
        if self.teacher is not None:
            try:
                load_denoiser(self.teacher, self.teacher_source['checkpoint'], self.teacher_source.get('average'))
            except InputError as error:
                raise InputError(
                    f'the teacher cannot be read (train it first, or name another one as '
                    f'model.teacher.checkpoint): {error}'
                ) from error
        if self.init_from == 'teacher':
            load_weights(self.denoiser.backbone, self.teacher.backbone.state_dict(), self.teacher_source['checkpoint'])
        elif self.init_from:
            try:
                load_denoiser(self.denoiser, self.init_from, any_kind=True)  # tuning makes one kind of another
            except InputError as error:
                raise InputError(
                    f'the weights to start from cannot be read (train them first, or name others as '
                    f'model.init_from): {error}'
                ) from error
        for average in self._averages():
            average.load_state_dict(self.denoiser.state_dict())

    def load_checkpoint(
        self, source: str | Path, average: str | None = None, cache_dir: str | Path | None = None
    ) -> None:
        """Load weights to draw with: into the denoiser and each average that is kept.

        Args:
            source (str): Path, URL, zoo name or work directory.
            average (str, optional): Which weights of a training checkpoint; see `read_backbone`.
            cache_dir (str | Path, optional): Where downloads are kept.

        Raises:
            InputError: If the file cannot be had or read, or belongs to another denoiser; see `load_denoiser`.
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
            follow(network, self.denoiser, decay=0.0)
        return True

    @torch.no_grad()
    def update_averages(self) -> None:
        """Let the target and all averages follow the online weights, once per step of the optimiser."""
        if self.target is not None:
            follow(self.target, self.denoiser, self.objective.target_decay(self._training_step()))
        for decay, ema in zip(self.ema_decays, self.emas.values()):
            follow(ema, self.denoiser, decay)

    def _training_step(self) -> int:
        if self.step is None:
            raise InputError(
                'the training step is not known: add dict(type="AveragesHook") to the hooks (the runtime '
                'config of mmcm has it), or call model.begin_step(step) in a loop of your own.'
            )
        return self.step

    def forward(
        self,
        inputs: Tensor | dict | None = None,
        data_samples: DataSample | Sequence[DataSample] | None = None,
        mode: str = 'tensor',
    ) -> dict | list | Tensor:
        """Compute a loss, or draw images.

        Args:
            inputs (Tensor | dict, optional): 'loss': clean images in [-1, 1], (N, C, H, W). 'tensor': standard normal
                noise of that shape. 'predict': not used. A dict is a call from MMagic, in any mode; see `MMagicCalls`.
            data_samples (DataSample | list, optional): Labels in `gt_label`, as one batched sample or one per image;
                for 'predict' one per image, with its `sample_seed`.
            mode (str): 'loss', 'predict' or 'tensor'.

        Returns:
            dict | list | Tensor: 'loss': the objective's parts. 'predict': the samples, with `fake_img`, uint8 RGB
            (C, H, W). 'tensor': images in [-1, 1], (N, C, H, W).
        """
        if isinstance(inputs, dict):
            return self.answer(inputs, data_samples)
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(data_samples)
        if mode == 'tensor':
            return self.sample(len(inputs), labels_of(data_samples), latents=inputs)
        raise InputError(f"mode has to be 'loss', 'predict' or 'tensor', got {mode!r}.")

    def loss(self, inputs: Tensor, data_samples: DataSample | Sequence[DataSample] | None = None) -> dict:
        """Return the parts of the objective for clean `inputs` in [-1, 1], (N, C, H, W)."""
        if self.objective is None:
            raise InputError('the model has no objective, so it cannot be trained: set model.objective in the config.')
        labels = None if self.num_classes is None else labels_of(data_samples)
        networks = Networks(self.denoiser, self.target, self.teacher)
        return self.objective(networks, inputs, labels, self._training_step())

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what is minimised, and the means for the log.

        Noise levels have no place there: `watch_losses`, where it is set, is called with those of the images, (N,), and
        with their losses, (N,), without gradients.
        """
        parts = dict(losses)
        sigma = parts.pop('sigma', None)
        if self.watch_losses is not None and sigma is not None:
            self.watch_losses(sigma, parts['loss'].detach())
        return super().parse_losses(parts)

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
        sampler = sampler or self.sampler
        if sampler is None:
            raise InputError('the model has no sampler: set model.sampler in the config, or pass one.')
        labels = self.check_labels(labels, num_samples)
        shape = (num_samples, *self.image_shape)
        if latents is not None and tuple(latents.shape) != shape:
            raise InputError(f'latents have to be of shape {shape}, got {tuple(latents.shape)}.')
        noise = SampleNoise(range(num_samples)) if noise is None else noise
        return self.generate(num_samples, labels, noise, latents, sampler, clip, callback, online)

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
        denoiser = self.denoiser if online else self.drawing_denoiser
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
        return next(self.drawing_denoiser.parameters()).device

    def _denoise_with(self, labels: Tensor | None, clip: bool, denoiser: nn.Module, check: OutputCheck) -> Denoise:
        """Return the function of x and sigma that samplers take; `check` sees what the network makes, before it is
        clipped. A third argument says which of the samples x are, where they are some.
        """
        labels = None if labels is None else labels.to(self._drawing_device)

        def denoise(x: Tensor, sigma: Tensor, rows: Tensor | None = None) -> Tensor:
            x0 = check.note(denoiser(x, sigma, labels if rows is None or labels is None else labels[rows]))
            return x0.clamp(-1, 1) if clip else x0

        return denoise

    def draw(
        self, seeds: Sequence[int], labels: Sequence[int] | None = None, batch_size: int | Batches = 64, **options: Any
    ) -> Tensor:
        """Sample any number of images, in batches.

        Args:
            seeds (Sequence[int]): The seed of each image.
            labels (Sequence[int], optional): The class of each image, exactly when the model is class-conditional.
            batch_size (int | Batches): Images per call of the sampler. The images do not depend on it, the memory does.
            options: Further arguments of `sample`.

        Returns:
            Tensor: Images, uint8, (N, C, H, W), on the CPU.
        """

        def batch(part: slice, on_step: Callback) -> Tensor:
            some_labels = None if labels is None else labels[part]
            return self.sample(part.stop - part.start, some_labels, SampleNoise(seeds[part]), **options)

        return sample_in_batches(batch, len(seeds), batch_size, self.data_preprocessor.destruct).pixels

    def batches(
        self,
        num_samples: int,
        labels: Sequence[int] | None,
        noise_of: Callable[[slice], Any],
        batch_size: int | Batches,
        latents: Tensor | None = None,
        **options: Any,
    ) -> Iterator[Tensor]:
        """Sample `num_samples` images batch by batch; see `draw`."""

        def batch(part: slice) -> Tensor:
            some_labels = None if labels is None else labels[part]
            some_latents = None if latents is None else latents[part]
            return self.sample(part.stop - part.start, some_labels, noise_of(part), some_latents, **options)

        return Batches.of(batch_size).run(batch, num_samples)

    def check_labels(self, labels: Tensor | Sequence[int] | int | None, num_samples: int) -> Tensor | None:
        """Return the labels of a batch as the network takes them; see `mmcm.datasets.labels.check_labels`."""
        return check_labels(labels, num_samples, self.num_classes)


def check_decays(decays: Sequence[float]) -> tuple[float, ...]:
    """Return `decays` as a tuple; an InputError unless they are different numbers in [0, 1]."""
    if not isinstance(decays, (list, tuple)) or len(set(decays)) < len(decays):
        raise InputError(f'ema_decays has to be a list of different decays, such as (0.999, 0.9999), got {decays}.')
    for decay in decays:
        check_decay(decay)
    return tuple(decays)


def drawing_config(config: dict) -> dict:
    """Return the config of a model without what only training needs: target, teacher and averages."""
    return {key: value for key, value in config.items() if key not in TRAINING_ONLY}


def frozen(module: nn.Module) -> nn.Module:
    """Return `module` without gradients, in evaluation mode."""
    return module.requires_grad_(False).eval()


def follow(average: nn.Module, online: nn.Module, decay: float) -> None:
    """Move the parameters of `average` towards those of `online`; `decay` is the share that stays."""
    torch._foreach_lerp_(list(average.parameters()), [p.detach() for p in online.parameters()], 1 - decay)
