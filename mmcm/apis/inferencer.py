"""`ConsistencyModelInferencer`: a model that is ready to draw."""

import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.infer import BaseInferencer
from torch import Tensor

from mmcm.apis.resolve_model import pick_device, pick_dtype, resolve_model, sampler_config
from mmcm.apis.sampling_result import Drawing, Images
from mmcm.apis.steps import sampler_with_steps
from mmcm.datasets.class_names import class_names, label_of
from mmcm.datasets.sampling_requests import RULES, request_labels
from mmcm.models.consistency_model import ConsistencyModel, inference_config
from mmcm.noise.generators import RequestNoise, SampleNoise, sample_seeds
from mmcm.registry import MODELS, SAMPLERS, SCOPE
from mmcm.samplers import Callback, Sampler
from mmcm.structures import DataSample
from mmcm.utils.checks import as_list, check_count, check_flag, has_length
from mmcm.utils.errors import InputError
from mmcm.utils.finite import check_given
from mmcm.utils.images import to_pil
from mmcm.utils.precision import warn_if_emulated
from mmcm.utils.progress import progress_bar

COUNTERPARTS = dict(class_labels='labels', num_inference_steps='num_steps')  # of arguments of diffusers' pipeline
OUTPUT_TYPES = ('pil', 'np', 'pt', 'data_sample')
# Pixels of a batch, where nobody says how many images it has: 64 of 64 x 64, and many more on a GPU.
BATCH_PIXELS = dict(cpu=1 << 18, cuda=1 << 21)
MAX_BATCH = 1024


class ConsistencyModelInferencer(BaseInferencer):
    """A model with its weights on a device, as one of MMEngine's inferencers.

    Args:
        model (str | Path | Config): The name of a model of the zoo; a config, its path, or its name among those that
            come with mmcm; a folder that diffusers' `ConsistencyModelPipeline` was saved to, or its id on the Hugging
            Face hub; a work directory, or a file of weights with its config in it, as training, `mmcm convert` and
            `mmcm publish` write them.
        checkpoint (str, optional): Path, URL, zoo name, work directory, diffusers folder or hub id. By default the zoo
            model's own, or the one that the config names as `checkpoint`.
        device (str, optional): 'cpu', 'cuda', 'cuda:1', ...; the best present if None.
        sampler (dict, optional): Config of a sampler, or changes to the config's own.
        average (str, optional): Which weights of a training checkpoint; see `mmcm.checkpoints.weights.chosen_weights`.
        cache_dir (str | Path, optional): Where downloads are kept; see `mmcm.checkpoints.resolve_checkpoint`.
        dtype (str | torch.dtype): Precision that the network computes in: 'float32', 'float16' or 'bfloat16'. All that
            is around it stays in float32.

    Raises:
        InputError: If any of these cannot be used.
    """

    def __init__(
        self,
        model: str | Path | Config,
        checkpoint: str | None = None,
        device: str | None = None,
        sampler: dict | None = None,
        average: str | None = None,
        cache_dir: str | Path | None = None,
        dtype: str | torch.dtype = 'float32',
    ) -> None:
        self.device = pick_device(device)
        self.dtype = pick_dtype(dtype)
        self.config, self.weights = resolve_model(model, checkpoint, cache_dir)
        self.checkpoint = str(self.weights)
        self.average = average
        self.cache_dir = cache_dir
        self.sampler_config = sampler_config(self.config.model.get('sampler'), self.checkpoint, sampler)
        self.sampler = SAMPLERS.build(self.sampler_config)
        super().__init__(self.config, self.checkpoint, self.device, SCOPE, show_progress=False)
        names = self.config.get('class_names')
        self.class_names = () if names is None or self.model.num_classes is None else class_names(names)
        if self.class_names and len(self.class_names) != self.model.num_classes:
            raise InputError(
                f'class_names of the config has {len(self.class_names)} names for {self.model.num_classes} classes.'
            )
        self.loaded = False

    def _init_model(self, cfg: Config, weights: str | None, device: torch.device) -> ConsistencyModel:
        """Build the model without weights; `load` reads them, when a request has proved to be one that can be met."""
        with torch.device('meta'):  # nothing is initialised in vain
            return MODELS.build(inference_config(cfg.model))

    def _init_pipeline(self, cfg: Config) -> Callable[[int | str], int]:
        """Return what turns a single input, the number or the name of a class, into its number."""
        return self.label_of

    def _init_visualizer(self, cfg: Config) -> None:
        """Build no visualizer: the one of the config is for training."""

    def load(self) -> 'ConsistencyModelInferencer':
        """Read the weights, unless that is done. The first call does it by itself, after it has checked its input.

        One line on stderr warns of a precision that the processor emulates.
        """
        if not self.loaded:
            self.model.load_checkpoint(self.weights, self.average)
            self.weights.release()
            warn_if_emulated(self.dtype, self.device)
            self.model.inference_denoiser.backbone.to(self.dtype)
            self.model.to(self.device).eval()
            self.loaded = True
        return self

    def __call__(
        self,
        num_images: int | None = None,
        labels: Sequence[int | str] | Tensor | int | str | None = None,
        seed: int | Sequence[int] | Tensor = 0,
        batch_size: int | None = None,
        num_steps: int | None = None,
        timesteps: Sequence[int] | None = None,
        sigmas: Sequence[float] | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        latents: Tensor | None = None,
        clip: bool = True,
        output_type: str = 'pil',
        return_dict: bool = True,
        callback: Callback | None = None,
        callback_steps: int = 1,
        progress: bool = False,
        **unknown: Any,
    ) -> Drawing | tuple[Images]:
        """Draw images.

        The same request gives the same images (up to the rounding of the arithmetic) whatever `batch_size` is.

        Args:
            num_images (int, optional): How many, N; by default one per label, latent, seed or generator, whichever are
                most, or 1.
            labels (Sequence | Tensor | int | str, optional): Classes by number or name ('king penguin'), repeated as
                often as need be; 'balanced' or 'random', which is the default of conditional models.
            seed (int | Sequence[int] | Tensor): Seed of the request, from which each image gets its own (image i of N
                has i + N * seed) and random labels follow; or the seeds of the images themselves, each of which then
                decides on noise and random label of its image. Integers of Python, NumPy or torch.
            batch_size (int, optional): Images per call of the network, at most; by default as many as 64 of 64 x 64
                pixels. On a GPU, a batch that does not fit the memory is halved.
            num_steps (int, optional): Steps of the sampler: for consistency models levels that lie at equal distances
                among those of the schedule (diffusers' `num_inference_steps`), for others the steps themselves.
            timesteps (Sequence[int], optional): The levels of a consistency model as diffusers has them: indices of the
                schedule, descending to 0, which is sigma_max; [22, 0] for example.
            sigmas (Sequence[float], optional): The levels themselves, descending; (80, 1.5) for example.
            generator (torch.Generator | Sequence[torch.Generator], optional): Where noise comes from in place of
                `seed`: one generator for all images, or one for each. Random labels follow from its state, too.
            latents (Tensor, optional): Standard normal noise to start from, (N, C, H, W).
            clip (bool): Whether each estimate of the clean images is clipped to [-1, 1]; the images always are.
            output_type (str): 'pil' (Pillow's images), 'np' (float32 in [0, 1], (N, H, W, C)), 'pt' (the same as a
                tensor, (N, C, H, W), on the CPU) or 'data_sample'.
            return_dict (bool): Whether to return a `Drawing`, or the tuple `(images, )`.
            callback (Callable, optional): Called in the steps of each batch with the step from 0, the noise level, the
                noisy images and the estimate of the clean ones; see `Sampler`.
            callback_steps (int): It is called in every such step: 0, n, 2 n, ...
            progress (bool): Whether to show a progress bar on stderr.

        Raises:
            InputError: If the arguments do not fit the model; then nothing has been loaded or drawn.
        """
        for name in unknown:
            here = f': what is {name} in diffusers is {COUNTERPARTS[name]} here' if name in COUNTERPARTS else ''
            raise InputError(f'there is no argument {name}{here}.')
        if num_images is None:
            lengths = (len(given) for given in (labels, latents, seed, generator) if has_length(given))
            num_images = max(lengths, default=1) or 1
        check_count('num_images', num_images)
        check_count('callback_steps', callback_steps)
        check_flag('clip', clip)
        if output_type not in OUTPUT_TYPES:
            raise InputError(f'output_type has to be {", ".join(OUTPUT_TYPES)}, got {output_type!r}.')
        sampler = self.choose_sampler(num_steps, timesteps, sigmas)
        seeds = self.choose_seeds(seed, num_images)
        noise = None if generator is None else RequestNoise(generator, num_images)
        labels = self.choose_labels(labels, num_images, seed if noise is None else noise.seed)
        if batch_size is None:
            batch_size = self.batch_size
        check_count('batch_size', batch_size)
        shape = (num_images, *self.model.image_shape)
        if latents is not None and not isinstance(latents, Tensor):
            raise InputError(f'latents have to be a tensor, got {type(latents).__name__}: torch.as_tensor makes one.')
        if latents is not None and tuple(latents.shape) != shape:
            raise InputError(f'latents have to be of shape {shape}, got {tuple(latents.shape)}.')
        if latents is not None:
            check_given('latents', latents)
        if callback is not None and not callable(callback):
            raise InputError(f'callback has to be a function of step, sigma, x and x0, got {callback!r}.')
        if noise is None:

            def noise_of(part: slice) -> SampleNoise:
                return SampleNoise(seeds[part])
        else:
            noise_of, seeds = noise.rows, None
        self.load()

        steps = math.ceil(num_images / batch_size) * sampler.num_steps
        started = time.perf_counter()
        with progress_bar('sampling', steps, shown=progress) as advance:

            def on_step(step: int, *state: Any) -> None:
                advance()
                if callback is not None and step % callback_steps == 0:
                    callback(step, *state)

            batches = self.model.batches(
                num_images, labels, noise_of, batch_size, latents, sampler=sampler, clip=clip, callback=on_step
            )
            pixels, images = self.postprocess(batches, None, output_type, labels, seeds)
        drawing = Drawing(
            images, pixels, labels, seeds, time.perf_counter() - started, sampler.num_calls, self.names_of(labels)
        )
        return drawing if return_dict else (drawing.images,)

    def preprocess(self, inputs: Sequence[int | str], batch_size: int = 1) -> Iterator[dict]:
        """Yield what `forward` takes: batches of requests for the classes `inputs`, image i with the seed i."""
        labels = self.choose_labels(inputs, len(inputs))
        for start in range(0, len(inputs), batch_size):
            indices = range(start, min(start + batch_size, len(inputs)))
            yield dict(data_samples=[DataSample.of(labels and labels[i], sample_seed=i) for i in indices])

    def forward(self, inputs: dict) -> list[DataSample]:
        """Draw the requests of a batch."""
        return self.load().model.test_step(inputs)

    def visualize(self, inputs: Any, preds: Drawing, columns: int | None = None) -> list[np.ndarray]:
        """Return the sheet of a drawing, as the one picture of it: (H, W, 3), uint8 RGB."""
        return [preds.sheet(columns)]

    def postprocess(
        self,
        preds: Iterable[Tensor],
        visualization: Any = None,
        output_type: str = 'pil',
        labels: Sequence[int] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> tuple[Tensor, Images]:
        """Return the images of all batches `preds`, which are in [-1, 1]: as uint8, and as `output_type` says."""
        parts, floats = [], []
        for batch in preds:
            parts.append(self.model.data_preprocessor.destruct(batch).cpu())
            if output_type in ('np', 'pt'):
                floats.append((batch / 2 + 0.5).clamp(0, 1).cpu())
        pixels = torch.cat(parts)
        if output_type == 'pil':
            return pixels, [to_pil(image) for image in pixels]
        if output_type == 'pt':
            return pixels, torch.cat(floats)
        if output_type == 'np':
            return pixels, torch.cat(floats).permute(0, 2, 3, 1).numpy()
        samples = []
        for index, image in enumerate(pixels):
            seed = {} if seeds is None else dict(sample_seed=seeds[index])
            samples.append(DataSample.of(None if labels is None else labels[index], fake_img=image, **seed))
        return pixels, samples

    @property
    def batch_size(self) -> int:
        """Images per call of the network, where nobody says how many."""
        _, height, width = self.model.image_shape
        pixels = BATCH_PIXELS.get(self.device.type, BATCH_PIXELS['cpu'])
        return max(1, min(MAX_BATCH, pixels // (height * width)))

    def choose_sampler(
        self,
        num_steps: int | None = None,
        timesteps: Sequence[int] | None = None,
        sigmas: Sequence[float] | None = None,
    ) -> Sampler:
        """Return the sampler with other steps, of which at most one kind may be given; see `__call__`."""
        if num_steps is None and timesteps is None and sigmas is None:
            return self.sampler
        return sampler_with_steps(self.sampler_config, num_steps, timesteps, sigmas)

    def choose_seeds(self, seed: int | Sequence[int] | Tensor, num_images: int) -> Sequence[int]:
        """Return the seed of each image; see `__call__`."""
        return sample_seeds(num_images, seed)

    def choose_labels(self, labels: Any, num_images: int, seed: int | Sequence[int] | Tensor = 0) -> list[int] | None:
        """Return the class of each image, None for unconditional models; see `__call__`.

        Random ones follow from the `seed` of the request, or each from that of its own image.
        """
        num_classes = self.model.num_classes
        if num_classes is None:
            self.model.check_labels(labels, num_images)  # which says that it has none
            return None
        if labels is None:
            labels = 'random'
        if not (isinstance(labels, str) and labels in RULES):
            labels = as_list('labels', labels) if has_length(labels) else [labels]
            if not labels:
                raise InputError('labels is an empty list: name at least one label, or none at all (None).')
            if len(labels) > num_images:
                raise InputError(f'{len(labels)} labels are too many for {num_images} images.')
            labels = [self.label_of(label) for label in labels]
        labels = request_labels(labels, num_images, num_classes, seed)
        self.model.check_labels(labels, num_images)
        return labels

    def names_of(self, labels: Sequence[int] | None) -> list[str] | None:
        """Return the usual name of each class of `labels`, its number where classes have no names; None for None."""
        if labels is None:
            return None
        return [self.class_names[label][0] if self.class_names else str(label) for label in labels]

    def label_of(self, label: int | str) -> int:
        """Return the number of the class that `label` means, a number or a name."""
        if isinstance(label, Tensor):
            label = label.item()
        if not isinstance(label, str):
            return label
        if re.fullmatch(r'\s*-?[0-9]+\s*', label):
            return int(label)
        if not self.class_names:
            raise InputError(
                f'no class is called {label!r}: the classes of this model have no names, only the numbers '
                f'0 to {self.model.num_classes - 1}.'
            )
        return label_of(label, self.class_names)
