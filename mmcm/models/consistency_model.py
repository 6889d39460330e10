"""`ConsistencyModel`: a denoiser with its averages, its objective and its sampler."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.checkpoints.formats.training_checkpoint import average_name
from mmcm.checkpoints.trusted_config import TRAINING_ONLY
from mmcm.datasets.class_names import Names
from mmcm.denoisers import Denoiser, load_denoiser, without_velocity_head
from mmcm.denoisers.augmented import check_labels_known, with_augment_labels
from mmcm.models.averages import frozen, update_ema
from mmcm.models.editing import Editing
from mmcm.models.ema_decays import check_decays, check_restarts, decay_of
from mmcm.models.guidance import GuidedDenoiser, check_guided, guided, own_guidance
from mmcm.models.guide import Guide
from mmcm.models.initial_weights import InitFrom, check_init_from, load_initial_weights
from mmcm.models.partial_weights import PartialLoad
from mmcm.models.teacher import build_teacher, check_teacher, check_told, guidance_of, load_teacher
from mmcm.models.training_rules import normalize_weights, set_log_variance
from mmcm.noise.label_dropout import drop_labels
from mmcm.objectives.base import Networks, Objective
from mmcm.registry import AUGMENTATIONS, MODELS, OBJECTIVES, SAMPLERS
from mmcm.renamed import moved_name
from mmcm.samplers.base import Sampler
from mmcm.structures import DataSample, labels_of
from mmcm.utils.checks import check_number
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
            the trained one's apart from the boundary condition, which a diffusion model has not; `guidance`, the fixed
            w of its estimates, which the student learns (see `Guidance`), or dict(low=1.0, high=4.0) for one that is
            drawn for each image and that the student takes as an input (`guided=True` of the denoiser). Its network
            then needs `null_class=True`.
        init_from (str | dict, optional): Checkpoint that training starts from, as in `teacher`; 'teacher' starts from
            the teacher's own weights. Or a dict of `checkpoint`; `average`, as in `teacher`; `partial`, whether only
            what fits is loaded (see `load_partial`); `classes`, for each class the one of the checkpoint that it starts
            from, as a number, a name or None (see `choose_rows`).
        ema_decays (Sequence[float | dict]): Decays of the averages to keep for evaluation: 0.9999, or
            dict(sigma_rel=0.05) or dict(half_life=500_000); see `decay_of`. The first average samples.
        data_preprocessor (dict, optional): Config of the preprocessor; ImagePreprocessor if None.
        init_cfg (dict, optional): MMEngine's initialisation config.
        label_dropout (float): Share of the labels that training replaces by the null class, in [0, 1]; the backbone
            then needs `null_class=True`.
        augmentation (dict, optional): Config of the augmentation of the training images, such as EDMAugmentation. The
            networks that have an `augment_dim` get its labels; the trained one has to.
        guidance (dict, optional): Guidance that the model samples with: `scale`, w, and `interval`, the noise levels
            (sigma_lo, sigma_hi] outside which w is 1; see `Guidance`. The backbone then needs `null_class=True`, or
            there is a second network (autoguidance): `checkpoint`, `average` and `denoiser`, as in `teacher`; see
            `Guide`.
        autoencoder (dict, optional): Config of a LatentAutoencoder, for a network that denoises latents: images are
            encoded for training, and decoded after sampling.
    """

    def __init__(
        self,
        denoiser: dict,
        sampler: dict | None = None,
        objective: dict | None = None,
        teacher: dict | None = None,
        init_from: InitFrom | None = None,
        ema_decays: Sequence[float | dict] = (),
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
        label_dropout: float = 0.0,
        augmentation: dict | None = None,
        guidance: dict | None = None,
        autoencoder: dict | None = None,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or dict(type='ImagePreprocessor')), init_cfg)
        self.denoiser = MODELS.build(denoiser)
        self.autoencoder = None if autoencoder is None else MODELS.build(autoencoder)
        if self.autoencoder is not None:
            self.autoencoder.image_shape(self.latent_shape)  # an InputError if their channels differ
        self.sampler: Sampler | None = None if sampler is None else SAMPLERS.build(sampler)
        self.objective: Objective | None = None if objective is None else OBJECTIVES.build(objective)
        set_log_variance(self.denoiser, self.objective)
        self.label_dropout = check_label_dropout(label_dropout, self.null_label)
        self.guidance = own_guidance(self.denoiser, guidance)
        second = guidance if guidance is not None and guidance.get('checkpoint') else None
        check_guided(self.denoiser, self.guidance, self.null_label, 'model.guidance.scale', second is None)
        self.guide = None if second is None else Guide(second, denoiser, self.denoiser)
        check_teacher(self.objective, teacher, check_init_from(init_from))
        self.init_from = init_from
        self.teacher_config = teacher
        self.told = check_told(self.objective, self.denoiser, teacher)
        self.teacher_guidance = guidance_of(teacher)
        self.target: Denoiser | None = None
        self.teacher: Denoiser | None = None
        if self.objective is not None and self.objective.needs_target:
            self.target = frozen(deepcopy(self.denoiser))
        if self.objective is not None and teacher is not None:
            self.teacher = build_teacher(teacher, self.denoiser, denoiser, self.objective)
        self.augmentation = None if augmentation is None else AUGMENTATIONS.build(augmentation)
        if self.augmentation is not None:
            check_labels_known(self.augmentation.num_labels, self.denoiser, self.teacher)
        ema_decays = check_decays(ema_decays)
        self.emas = nn.ModuleDict({average_name(decay): frozen(deepcopy(self.denoiser)) for decay in ema_decays})
        self.ema_decays = ema_decays
        self.class_names: Names = ()  # of the data; set by DataCheckHook before the weights are initialised
        self.initial_load: PartialLoad | None = None  # what a partial `init_from` has loaded, and what not
        self.decays = [decay_of(decay) for decay in ema_decays]
        if self.objective is not None and self.objective.needs_same_teacher:
            check_restarts(self.decays)
        self.step: int | None = None  # set by begin_step; curricula are functions of it

    def init_weights(self) -> None:
        """Initialise for training: read the teacher and the weights to start from, and start the averages there."""
        super().init_weights()
        if self.teacher is not None and self.teacher_config is not None:
            load_teacher(self.teacher, self.teacher_config)
        if self.guide is not None:
            self.guide.load()
        if self.autoencoder is not None:
            self.autoencoder.load()
        if self.init_from:
            self.initial_load = load_initial_weights(
                self.denoiser, self.init_from, self.teacher, self.teacher_config, self.class_names
            )
        for average in self._averages():
            average.load_state_dict(self.denoiser.state_dict())

    def load_checkpoint(
        self, source: str | Path | Checkpoint, average: str | None = None, cache_dir: str | Path | None = None
    ) -> str | None:
        """Load the weights to sample with into the denoiser and each average.

        Args:
            source (str | Path | Checkpoint): A checkpoint, or its path, URL, zoo name or work directory.
            average (str, optional): Which weights of a training checkpoint; see `chosen_weights`.
            cache_dir (str | Path, optional): Where downloads are kept.

        Returns:
            str | None: Which weights these are; see `load_denoiser`.

        Raises:
            InputError: If the file cannot be found or read, or belongs to another denoiser; see `load_denoiser`.
        """
        used = load_denoiser(self.denoiser, source, average, cache_dir)
        if self.guide is not None:
            self.guide.load(cache_dir)
        if self.autoencoder is not None:
            self.autoencoder.load(cache_dir)
        for ema in self.emas.values():
            ema.load_state_dict(self.denoiser.state_dict())
        return used

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
        normalize_weights(self.denoiser)
        if self.objective is None or not self.objective.renews_teacher(step):
            return False
        for network in (self.teacher, *self._averages()):
            if network is not None:
                update_ema(network, self.denoiser, decay=0.0)
        return True

    @torch.no_grad()
    def update_averages(self, images_per_step: int | None = None) -> None:
        """Update the target and all averages with the online weights, once per step of the optimiser.

        Args:
            images_per_step (int, optional): Images of all processes in a step; needed by averages with a half-life.

        Raises:
            InputError: If an average needs the number of images, and it is not given.
        """
        if self.target is not None and self.objective is not None:
            update_ema(self.target, self.denoiser, self.objective.target_decay(self._training_step()))
        for decay, ema in zip(self.decays, self.emas.values()):
            step = self._training_step() if 'step' in decay.needs else 0
            if 'images_per_step' in decay.needs and images_per_step is None:
                raise InputError(f'{decay} needs the number of images per step: call update_averages(images_per_step).')
            update_ema(ema, self.denoiser, decay.at(step, images_per_step or 0))

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
        if self.label_dropout and labels is not None:
            assert self.null_label is not None  # see check_label_dropout
            labels = drop_labels(labels, self.label_dropout, self.null_label)
        augment_labels = None
        if self.augmentation is not None:
            inputs, augment_labels = self.augmentation(inputs)
        if self.autoencoder is not None:
            inputs = self.autoencoder.encode(inputs)
        step = self._training_step()
        scales = None if self.told is None else self.told.draw(len(inputs)).to(inputs)
        others = (
            None if each is None else with_augment_labels(each, augment_labels, scales)
            for each in (self.target, self._guided_teacher(step, scales))
        )
        networks = Networks(with_augment_labels(self.denoiser, augment_labels, scales), *others)
        return self.objective(networks, inputs, labels, step)

    def _guided_teacher(self, step: int, scales: Tensor | None) -> Any:
        """Return the teacher with its guidance; without, where it is a student that has learned guided estimates."""
        if self.teacher is None or self.objective is None or self.objective.has_renewed_teacher(step):
            return self.teacher
        if scales is not None:
            return GuidedDenoiser(self.teacher, self.teacher_guidance, self.teacher.null_label, scales=scales)
        return guided(self.teacher, self.teacher_guidance, self.teacher.null_label)

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss to minimise, and the means for the log, which has none of the noise levels."""
        return super().parse_losses({name: value for name, value in losses.items() if name != 'sigma'})


def check_label_dropout(ratio: float, null_label: int | None) -> float:
    """Return the share of labels to drop; an InputError unless it is in [0, 1] and dropped labels have a class."""
    check_number('label_dropout', ratio)
    if not 0 <= ratio <= 1:
        raise InputError(f'label_dropout has to be a share of the labels, from 0 to 1, got {ratio}.')
    if ratio and null_label is None:
        raise InputError(
            f'label_dropout {ratio} replaces labels by the null class, which the network does not have: set '
            'model.denoiser.backbone.null_class=True, with num_classes, or model.label_dropout=0.'
        )
    return float(ratio)


def inference_config(config: dict) -> dict:
    """Return the config of a model without objective, teacher, averages and the other settings of training."""
    kept = {key: value for key, value in config.items() if key not in TRAINING_ONLY}
    return {**kept, 'denoiser': without_velocity_head(kept['denoiser'])} if 'denoiser' in kept else kept


def __getattr__(name: str) -> object:
    return moved_name(__name__, name)
