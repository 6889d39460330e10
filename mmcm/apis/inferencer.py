"""`ConsistencyModelInferencer`: samples images from a model, with one call."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from mmcm.apis.provenance import sampling_record
from mmcm.apis.request import SampleRequest, check_latents, names_of
from mmcm.apis.resolve_model import pick_device, pick_dtype, resolve_model, sampler_config
from mmcm.apis.sampling_result import Images, SamplingResult
from mmcm.apis.steps import sampler_with_steps
from mmcm.checkpoints.weights import digest
from mmcm.datasets.class_names import class_names
from mmcm.datasets.labels import class_number, resolve_classes
from mmcm.denoisers import load_denoiser
from mmcm.models.consistency_model import ConsistencyModel, inference_config
from mmcm.models.sampling_loop import Samples
from mmcm.noise.generators import RequestNoise, as_seed, sample_seeds
from mmcm.registry import MODELS, SAMPLERS, SCOPE
from mmcm.samplers import Callback, Sampler
from mmcm.structures import DataSample
from mmcm.utils.batches import Batches
from mmcm.utils.checks import check_count, check_flag, has_length
from mmcm.utils.compilation import compile_network, compile_options
from mmcm.utils.errors import InputError
from mmcm.utils.finite import check_given
from mmcm.utils.fixed_precision import float32_keys
from mmcm.utils.images import to_pil
from mmcm.utils.meta_device import without_weights
from mmcm.utils.mmengine_bases import BaseInferencer
from mmcm.utils.precision import auto_dtype, tell_chosen, warn_if_emulated

# Of arguments of diffusers' pipelines.
COUNTERPARTS = dict(class_labels='labels', num_inference_steps='num_steps', guidance_scale='guidance')
OUTPUT_TYPES = ('pil', 'np', 'pt', 'data_sample')
# Pixels of a batch, where nobody says how many images it has: 64 of 64 x 64, and many more on a GPU.
BATCH_PIXELS = dict(cpu=1 << 18, cuda=1 << 21)
MAX_BATCH = 1024


class ConsistencyModelInferencer(BaseInferencer):
    """A model with its weights on a device, ready to sample; an inferencer of MMEngine.

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
            is around it stays in float32. With 'auto', large networks compute in the precision that is fast on the
            device (see `auto_dtype`), and others in float32.
        compile (bool | dict): Whether to compile the networks with `torch.compile`, or options of it. The first calls
            then take seconds to minutes longer, all others are faster, and the images differ by rounding.

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
        dtype: str | torch.dtype = 'auto',
        compile: bool | dict = False,
    ) -> None:
        self.compile_options = compile_options(compile)
        self.device = pick_device(device)
        chosen = pick_dtype(dtype)
        self.name = model if isinstance(model, (str, Path)) else None
        self.config, self.weights = resolve_model(model, checkpoint, cache_dir)
        self.checkpoint = str(self.weights)
        self.average = average
        self.cache_dir = cache_dir
        self.sampler_config = sampler_config(self.config.model.get('sampler'), self.checkpoint, sampler)
        self.sampler = SAMPLERS.build(self.sampler_config)
        super().__init__(self.config, self.checkpoint, self.device, SCOPE, show_progress=False)
        self._dtype_is_auto = chosen is None
        num_weights = sum(weight.numel() for weight in self.model.inference_denoiser.backbone.parameters())
        self.dtype = auto_dtype(self.device, num_weights) if chosen is None else chosen
        names = self.config.get('class_names')
        self.class_names = () if names is None or self.model.num_classes is None else class_names(names)
        if self.class_names and len(self.class_names) != self.model.num_classes:
            raise InputError(
                f'class_names of the config has {len(self.class_names)} names for {self.model.num_classes} classes.'
            )
        self.loaded = False

    def _init_model(self, cfg: Config, weights: str | None, device: torch.device) -> ConsistencyModel:
        """Build the model without weights; `load` reads them, when a request has proved to be one that can be met."""
        with without_weights():  # nothing is initialised in vain
            return MODELS.build(inference_config(cfg.model))

    def _init_pipeline(self, cfg: Config) -> Callable[[int | str], int]:
        """Return what turns a single input, the number or the name of a class, into its number."""
        return self.label_of

    def _init_visualizer(self, cfg: Config) -> None:
        """Build no visualizer: that of the config is for training."""

    def load(self) -> 'ConsistencyModelInferencer':
        """Read the weights, unless that is done. The first call does it by itself, after it has checked its input.

        One line on stderr warns of a precision that the processor emulates, or names the one that 'auto' has chosen.
        """
        if not self.loaded:
            (tell_chosen if self._dtype_is_auto else warn_if_emulated)(self.dtype, self.device)
            if self.dtype == torch.bfloat16:  # which has float32's range, so that no weight overflows
                self.weights.read_as(self.dtype, float32_keys(self.model.inference_denoiser.backbone))
            if self.model.autoencoder is not None:  # first, since its package may be missing
                self.model.autoencoder.load(self.cache_dir)
            load_denoiser(self.model.denoiser, self.weights, self.average, dtype=self.dtype)
            self.weights.release()
            networks = [self.model.inference_denoiser.backbone]
            if self.model.guide is not None:
                networks.append(self.model.guide.load(self.cache_dir).backbone)
            for network in networks:
                network.to(self.dtype)
                if self.dtype != torch.float32:  # whose rounding, and so the images of a seed, the layout would change
                    network.to(memory_format=torch.channels_last)
            self.model.to(self.device).eval()
            if self.compile_options is not None:
                for network in networks:
                    compile_network(network, self.device, self.compile_options)
            self.loaded = True
        return self

    @cached_property
    def weights_digest(self) -> str:
        """SHA-256 of the names, dtypes, shapes and values of the weights, which are read; see `sampling_weights`."""
        return digest(self.load().model.sampling_weights())

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
        guidance: float | None = None,
        guidance_interval: Sequence[float] | None = None,
        **unknown: Any,
    ) -> SamplingResult | tuple[Images]:
        """Sample images.

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
            return_dict (bool): Whether to return a `SamplingResult`, or the tuple `(images, )`.
            callback (Callable, optional): Called in the steps of each batch with the step from 0, the noise level, the
                noisy images and the estimate of the clean ones; see `Sampler`.
            callback_steps (int): It is called in every such step: 0, n, 2 n, ...
            progress (bool): Whether to show a progress bar on stderr.
            guidance (float, optional): w of D_w = D_u + w (D_c - D_u), of a model with a null class; by default that of
                the model, which is 1 unless its config says otherwise: no guidance. See `mmcm.models.guidance`.
            guidance_interval (Sequence[float], optional): Noise levels (sigma_lo, sigma_hi] outside which w is 1; by
                default those of the model, usually all.
            **unknown: Other arguments, which are refused; for some of diffusers', the error names the counterpart.

        Raises:
            InputError: If the arguments do not fit the model; then nothing has been loaded or sampled.
        """
        for name in unknown:
            here = f': what is {name} in diffusers is {COUNTERPARTS[name]} here' if name in COUNTERPARTS else ''
            raise InputError(f'there is no argument {name}{here}.')
        check_count('callback_steps', callback_steps)
        if output_type not in OUTPUT_TYPES:
            raise InputError(f'output_type has to be {", ".join(OUTPUT_TYPES)}, got {output_type!r}.')
        if callback is not None and not callable(callback):
            raise InputError(f'callback has to be a function of step, sigma, x and x0, got {callback!r}.')
        request = self.request(
            num_images,
            labels,
            seed,
            batch_size,
            num_steps,
            timesteps,
            sigmas,
            generator,
            latents,
            clip,
            guidance=guidance,
            guidance_interval=guidance_interval,
        )

        def on_step(step: int, *state: Any) -> None:
            if callback is not None and step % callback_steps == 0:
                callback(step, *state)

        result = self.sample(request, output_type, on_step, progress)
        return result if return_dict else (result.images,)

    def request(  # noqa: D417, since `__call__` describes most arguments
        self,
        num_images: int | None = None,
        labels: Any = None,
        seed: int | Sequence[int] | Tensor = 0,
        batch_size: int | None = None,
        num_steps: int | None = None,
        timesteps: Sequence[int] | None = None,
        sigmas: Sequence[float] | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        latents: Tensor | None = None,
        clip: bool = True,
        sampler: Sampler | None = None,
        default_images: int = 1,
        guidance: float | None = None,
        guidance_interval: Sequence[float] | None = None,
    ) -> SampleRequest:
        """Check a request, and fill in the defaults of the model. No weights are loaded.

        Args:
            sampler (Sampler, optional): A sampler, in place of steps.
            default_images (int): Number of images where neither `num_images` nor a list of labels, latents, seeds or
                generators gives it.

        Raises:
            InputError: If the arguments do not fit the model, or each other.
        """
        if num_images is None:
            lists = [values for values in (labels, latents, seed, generator) if has_length(values)]
            num_images = max(map(len, lists), default=0) or default_images  # type: ignore[arg-type]
        check_count('num_images', num_images)
        check_flag('clip', clip)
        if sampler is None:
            sampler = self.choose_sampler(num_steps, timesteps, sigmas)
        chosen_guidance = self.model.checked_guidance(guidance, guidance_interval)
        seed = as_seed(seed)
        sample_seeds(num_images, seed)  # an InputError unless all are integers of 64 bits, as many as images
        noise = None if generator is None else RequestNoise(generator, num_images)
        if noise is not None:
            seed = noise.seed  # random labels follow from it
        batch_size = self.batch_size if batch_size is None else batch_size
        check_count('batch_size', batch_size)
        check_latents(latents, (num_images, *self.model.latent_shape))
        if latents is not None:
            check_given('latents', latents)
        return SampleRequest(
            int(num_images),
            sampler,
            int(batch_size),
            seed,
            clip,
            resolve_classes(labels, self.model.num_classes, self.class_names, num_images),
            self.model.num_classes,
            self.class_names,
            latents,
            None if noise is None else noise.rows,
            guidance=chosen_guidance,
        )

    def sample(
        self,
        request: SampleRequest,
        output_type: str | None = None,
        callback: Callback | None = None,
        progress: bool = False,
        batches: Batches | None = None,
    ) -> SamplingResult:
        """Sample a request, which `request` has checked.

        Args:
            request (SampleRequest): The request.
            output_type (str, optional): See `__call__`; None: `images` of the result are its `pixels`.
            callback (Callable, optional): Called in each step of each batch; see `Sampler`.
            progress (bool): Whether to show a progress bar on stderr.
            batches (Batches, optional): A batch size that several requests share, in place of the request's own.
        """
        self.load()
        samples = request.run(self.model, callback, progress, batches, keep_images=output_type in ('np', 'pt'))
        labels, seeds = request.labels, request.seeds
        images = self.postprocess(samples, None, output_type, labels, seeds)
        return SamplingResult(
            images,
            samples.pixels,
            labels,
            seeds,
            samples.seconds,
            self.model.nfe(request.sampler, request.guidance),
            request.names,
            partial(sampling_record, self, request, 'sample' if request.follows_seeds else 'given-noise'),
        )

    def preprocess(self, inputs: Sequence[int | str], batch_size: int = 1) -> Iterator[dict]:
        """Yield what `forward` takes: batches of requests for the classes `inputs`, image i with the seed i."""
        labels = self.request(len(inputs), inputs).labels
        for start in range(0, len(inputs), batch_size):
            indices = range(start, min(start + batch_size, len(inputs)))
            samples = [DataSample.of(None if labels is None else labels[i], sample_seed=i) for i in indices]
            yield dict(data_samples=samples)

    def forward(self, inputs: dict) -> list[DataSample]:
        """Sample the requests of a batch."""
        return self.load().model.test_step(inputs)

    def visualize(self, inputs: Any, preds: SamplingResult, columns: int | None = None) -> list[np.ndarray]:
        """Return the grid of a result, as its only image: (H, W, 3), uint8 RGB."""
        return [preds.sheet(columns)]

    def postprocess(
        self,
        preds: Samples,
        visualization: Any = None,
        output_type: str | None = 'pil',
        labels: Sequence[int] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> Images:
        """Convert samples to what `output_type` says."""
        pixels = preds.pixels
        if output_type is None:
            return pixels
        if output_type == 'pil':
            return [to_pil(image) for image in pixels]
        if preds.images is not None:
            images = (preds.images / 2 + 0.5).clamp(0, 1)
            return images if output_type == 'pt' else images.permute(0, 2, 3, 1).numpy()
        samples = []
        for index, image in enumerate(pixels):
            seed = {} if seeds is None else dict(sample_seed=seeds[index])
            samples.append(DataSample.of(None if labels is None else labels[index], fake_img=image, **seed))
        return samples

    @property
    def batch_size(self) -> int:
        """Images per call of the network, where a request does not say how many."""
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
        """Return `request(num_images, seed=seed).seeds`. Deprecated."""
        warnings.warn('choose_seeds is request(...).seeds now.', DeprecationWarning, stacklevel=2)
        return sample_seeds(num_images, seed)

    def choose_labels(self, labels: Any, num_images: int, seed: int | Sequence[int] | Tensor = 0) -> list[int] | None:
        """Return `request(num_images, labels, seed).labels`. Deprecated."""
        warnings.warn('choose_labels is request(...).labels now.', DeprecationWarning, stacklevel=2)
        return self.request(num_images, labels, seed).labels

    def names_of(self, labels: Sequence[int] | None) -> list[str] | None:
        """Return the usual name of each class of `labels`, its number where classes have no names; None for None."""
        return names_of(labels, self.class_names)

    def label_of(self, label: int | str) -> int:
        """Return the number of the class that `label` means, a number or a name."""
        return class_number(label, self.model.num_classes, self.class_names)
