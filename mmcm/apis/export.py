"""Export of models to files that sample without mmcm: ONNX, and programs of `torch.export`.

A file holds the sampler's loop, unrolled, with the network inside: from noise to images.
"""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy, deepcopy
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from mmcm.denoisers.guidance import NO_GUIDANCE, Guidance
from mmcm.denoisers.guidance_input import takes_guidance
from mmcm.models.consistency_model import ConsistencyModel
from mmcm.models.guidance import guided
from mmcm.models.output_check import OutputCheck
from mmcm.models.sampling import step_levels
from mmcm.noise.generators import SampleNoise
from mmcm.renamed import old_names
from mmcm.samplers.base import KarrasSampler, Sampler
from mmcm.samplers.rehearsal import rehearse
from mmcm.utils.errors import InputError
from mmcm.utils.files import appearing, make_folder
from mmcm.utils.progress import progress_bar
from mmcm.version import __version__

__getattr__ = old_names(__name__)
INPUTS = ('noise', 'labels')
OPSET = 18  # the lowest that torch writes, so that old runtimes read it; higher ones made it no faster
BATCH = Dim('batch')
BATCH_OF_LATENTS = Dim('batch', max=63)  # diffusers' autoencoder treats larger ones in another way
ONNX_BYTES = 2**31 - 2**24  # of weights: a file of ONNX ends at 2 GiB, and needs some for the graph


class SamplingGraph(nn.Module):
    """`ConsistencyModel.sample` as a function of noise and labels alone.

    Any sampler will do: all the noise that it asks for becomes an input. The model's guidance is part of it.

    Args:
        model (ConsistencyModel): The model; its weights are shared where they are float32 and on the CPU.
        sampler (Sampler, optional): A sampler other than the model's own.

    Attributes:
        num_draws (int): How often the sampler asks for noise, k.
        sigmas (list[float]): The noise level of each call of the network.
    """

    def __init__(self, model: ConsistencyModel, sampler: Sampler | None = None) -> None:
        super().__init__()
        sampler = model.checked_sampler(sampler)
        self.sampler = with_constant_levels(sampler)
        denoiser = model.inference_denoiser
        weights = {id(p): nn.Parameter(p.detach().float().cpu(), requires_grad=False) for p in denoiser.parameters()}
        self.denoiser = deepcopy(denoiser, weights)  # copies the modules alone: the mode of the model stays as it is
        self.num_classes = model.num_classes
        self.latent_shape, self.image_shape = model.latent_shape, model.image_shape
        self.autoencoder = model.autoencoder
        self.decoder: nn.Module | None = None
        if self.autoencoder is not None:
            decoder: Any = deepcopy(self.autoencoder.load()).cpu()
            decoder.encoder = decoder.quant_conv = None  # which only images go through
            self.decoder = decoder
        self.num_draws, self.sigmas = rehearse(sampler)
        # The levels are known here, so that no level has to be looked at in the program: the interval is left out.
        everywhere = Guidance(model.guidance.scale)
        self.guidances = [everywhere if model.guidance.acts_at(sigma) else NO_GUIDANCE for sigma in self.sigmas]
        if takes_guidance(denoiser):  # as numbers: the network is not called twice
            self.guidances = [model.guidance] * len(self.sigmas)
        self.null_label = model.null_label
        self.eval()
        if model.guide is not None and model.guidance.acts:
            raise InputError(
                'the model is guided by a second network, and a file holds one: leave out model.guidance, or export a '
                'student that was distilled from a guided teacher (model.teacher.guidance).'
            )

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Sample images.

        Args:
            noise (Tensor): Standard normal noise, (N, k, *`latent_shape`), float32.
            labels (Tensor, optional): Class of each image, (N,), int64; exactly when the model is class-conditional.

        Returns:
            Tensor: Images in [-1, 1], (N, C, H, W), float32; those of latents are decoded.
        """
        draws, guidances = iter(noise.unbind(1)), iter(self.guidances)

        def denoise(x: Tensor, sigma: Tensor, next_sigma: Tensor | None = None) -> Tensor:
            levels = step_levels(self.denoiser, sigma, next_sigma, self.sampler.follows_ode)
            denoiser = guided(self.denoiser, next(guidances), self.null_label)
            x0 = denoiser(x, sigma, labels, **levels)
            return x0.clamp(-1, 1) if self.autoencoder is None else x0

        sampled = self.sampler(denoise, next(draws), lambda x: next(draws))
        if self.autoencoder is not None:
            sampled = self.autoencoder.decode_by(self.decoder, sampled)
        return sampled.clamp(-1, 1)

    def inputs(self, num_images: int) -> tuple[Tensor, ...]:
        """Return the noise of `SampleNoise` for the seeds from 0, and labels from the first class to the last."""
        source = SampleNoise(range(num_images))
        noise = torch.stack([source.randn(num_images, *self.latent_shape) for _ in range(self.num_draws)], dim=1)
        if self.num_classes is None:
            return (noise,)
        labels = torch.linspace(0, self.num_classes - 1, num_images, dtype=torch.float32, device='cpu')
        return noise, labels.long()

    def about(self) -> dict[str, str]:
        """Return the metadata of the file, as text; numbers and lists are JSON."""
        classes = {} if self.num_classes is None else dict(num_classes=str(self.num_classes))
        return dict(
            mmcm_version=__version__,
            sampler=type(self.sampler).__name__,
            sigmas=json.dumps(self.sigmas),
            image_range='[-1, 1]',
            **classes,
        )


def with_constant_levels(sampler: Sampler) -> Sampler:
    """Return a copy of `sampler` whose noise levels are numbers: computed by torch, they would be traced."""
    if isinstance(sampler, KarrasSampler):
        levels = sampler.levels(torch.float32)
        sampler = copy(sampler)
        sampler.levels = lambda dtype: levels  # type: ignore[method-assign]  # of this copy alone
    return sampler


@torch.no_grad()
def export(
    model: ConsistencyModel, out: str | Path, sampler: Sampler | None = None, name: str = '', progress: bool = False
) -> tuple[SamplingGraph, float]:
    """Write a model to a file, in the format of its suffix: .onnx, or .pt2 for `torch.export.load`.

    The file takes batches of any size, of latents up to 63. It is compared with torch before it appears under its name.

    Args:
        model (ConsistencyModel): The model, with its weights.
        out (str | Path): The file to write.
        sampler (Sampler, optional): A sampler other than the model's own; it becomes part of the file.
        name (str): Name of the model in the metadata of the file.
        progress (bool): Whether to show progress on stderr.

    Returns:
        tuple[SamplingGraph, float]: The graph that was written, and the largest difference between an image from the
        file and the same image from torch, pixels being in [-1, 1].

    Raises:
        InputError: If the file cannot be written, does not agree with torch, or its images are not finite.
    """
    out = Path(out)
    check_export(model, out)
    kind = FORMATS[out.suffix]
    graph = SamplingGraph(model, sampler)
    inputs = graph.inputs(3)
    images = checked(graph, inputs)
    with appearing(out) as part, progress_bar('exporting', 3, progress, 'phases') as advance:
        program = trace(graph)
        advance()
        readable = name.encode(errors='backslashreplace').decode()  # ONNX takes no bytes of names of files
        kind.write(program, part, dict(model=readable, **graph.about()))
        advance()
        difference = (kind.run(part, inputs) - images).abs().max().item()  # of more images than it was traced with
        advance()
        if not difference <= kind.tolerance:
            raise InputError(
                f'{out} is not written: its images differ by {difference:.1e} from those of torch, more '
                f'than {kind.tolerance:g}. Try fewer steps, or another version of torch.'
            )
    return graph, difference


def checked(graph: SamplingGraph, inputs: Sequence[Tensor]) -> Tensor:
    """Return the images of `graph`; a NotFiniteError if an output of its network is not finite.

    The check is a hook of the network, so that it is in no file.
    """
    check = OutputCheck(graph.denoiser)
    handle = graph.denoiser.register_forward_hook(lambda module, arguments, output: check.note(output))
    try:
        return graph(*inputs)
    finally:
        handle.remove()


def check_export(model: ConsistencyModel, out: Path) -> None:
    """Raise an InputError if `model`, which needs no weights yet, cannot be written to `out`; makes the folder."""
    if out.suffix not in FORMATS:
        raise InputError(f'{out} has to end in {" or ".join(FORMATS)}, which says the format.')
    if torch.__version__ < '2.9':  # which compares as versions do
        raise InputError(f'exporting needs torch 2.9 or newer, this is {torch.__version__}: upgrade torch.')
    missing = [name for name in FORMATS[out.suffix].packages if find_spec(name) is None]
    if missing:
        raise InputError(f'{out.suffix} files need packages that are missing: pip install {" ".join(missing)}')
    size = 4 * sum(parameter.numel() for parameter in model.inference_denoiser.parameters())
    if model.autoencoder is not None and model.autoencoder.network is not None:  # in the check before it is loaded
        size += 4 * sum(parameter.numel() for parameter in model.autoencoder.network.parameters())
    if out.suffix == '.onnx' and size > ONNX_BYTES:
        raise InputError(f'an ONNX file holds at most 2 GiB, and the weights are {size / 2**30:.2f} GiB: write .pt2.')
    make_folder(out.parent)
    if out.is_dir():
        raise InputError(f'{out} is a folder: name a file.')


def trace(graph: SamplingGraph) -> ExportedProgram:
    """Return `graph` as a program of torch's own operations, for batches of any size, or of 63 if it has a decoder."""
    inputs = graph.inputs(2)
    batch = BATCH if graph.decoder is None else BATCH_OF_LATENTS
    shapes = tuple({0: batch} for _ in inputs)
    return torch.export.export(graph, inputs, dynamic_shapes=shapes, strict=False)


def write_onnx(program: ExportedProgram, path: Path, about: dict[str, str]) -> None:
    """Write `program` as one ONNX file with the metadata `about`."""
    import onnx

    names = list(program.graph_signature.user_inputs)
    with quiet():
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=names,
            output_names=['images'],
            dynamic_shapes=({0: BATCH}, *({} for _ in names[1:])),  # named once, it is the name of all
            verbose=False,
        )
    assert exported is not None, 'with dynamo=True torch returns the program'
    proto = exported.model_proto
    onnx.helper.set_model_props(proto, about)
    for item in (*proto.graph.node, *proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        del item.metadata_props[:]  # stack traces with the paths of this machine, a third of a small file
    onnx.save(proto, str(path))


def run_onnx(path: Path, inputs: Sequence[Tensor]) -> Tensor:
    """Sample with the file at `path` in ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    (images,) = session.run(None, {name: value.numpy() for name, value in zip(INPUTS, inputs)})
    return torch.from_numpy(images)


def write_program(program: ExportedProgram, path: Path, about: dict[str, str]) -> None:
    """Write `program` for `torch.export.load`, with `about` as its extra file about.json."""
    with path.open('wb') as file:  # given a path, torch would write its name into the file
        torch.export.save(program, file, extra_files={'about.json': json.dumps(about)})


def run_program(path: Path, inputs: Sequence[Tensor]) -> Tensor:
    """Sample with the program at `path`."""
    with path.open('rb') as file:  # given a path, torch would ask for the suffix .pt2
        return torch.export.load(file).module()(*inputs)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence notes of torch's exporter on packages that it does not need, and on its own old code."""
    logger = logging.getLogger('torch.onnx')
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', '.*LeafSpec', FutureWarning)
            yield
    finally:
        logger.setLevel(level)


@dataclass(frozen=True)
class Format:
    """A format of exported files.

    Attributes:
        write (Callable): Writes a program to a path, with metadata.
        run (Callable): Samples images with the file at a path.
        tolerance (float): Largest difference of a pixel, in [-1, 1], from that of torch.
        packages (tuple[str, ...]): Packages that have to be installed.
    """

    write: Callable[[ExportedProgram, Path, dict[str, str]], None]
    run: Callable[[Path, Sequence[Tensor]], Tensor]
    tolerance: float
    packages: tuple[str, ...] = ()


FORMATS = {
    '.onnx': Format(write_onnx, run_onnx, 1e-4, ('onnx', 'onnxscript', 'onnxruntime')),
    '.pt2': Format(write_program, run_program, 1e-5),
}
